"""Who may import whom: the direction of dependence."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

ORDER: dict[str, float] = {  # a module may import from lower ranks only; pages never from each other
    "app": 4,
    "explorer.pages": 3,
    "explorer.address": 2,
    "explorer.controls": 1.5,
    "explorer.starts": 1.75,
    "explorer.training_fields": 1.8,
    "explorer.training_data": 1.9,
    "explorer.written": 1.9,
    "explorer.training_form": 2,
    "explorer.training_turn": 1.8,
    "explorer.training_watch": 2,
    "explorer.stage_training": 2.2,
    "explorer.answers": 2.5,
    "explorer.code_samples": 2.5,
    "explorer.code_sources": 2.5,
    "explorer.code_looks": 2.5,
    "explorer.board": 1.5,
    "explorer.cloud": 2,
    "explorer.query": 2.1,
    "explorer.selection": 0,
    "explorer.exports": 2.1,
    "explorer.nearness": 2.1,
    "explorer.map": 2.1,
    "explorer.atlas": 2.2,
    "explorer.projecting": 2.3,
    "explorer.bringing": 2.6,
    "explorer.choosing": 2.3,
    "explorer.charting": 2.7,
    "explorer.selection_figures": 1.6,
    "explorer.gallery": 2.6,
    "explorer.classes": 1.5,
    "explorer.class_choices": 1.7,
    "explorer.class_figures": 1.6,
    "explorer.class_sheet": 1.6,
    "explorer.classification": 1.5,
    "explorer.codes": 1.4,
    "explorer.levels": 1.4,
    "explorer.level_figures": 2,
    "explorer.level_looks": 2.6,
    "explorer.completing": 1.5,
    "explorer.bound": 1.5,
    "explorer.bound_figures": 1.6,
    "explorer.bound_looks": 2.6,
    "explorer.level_overview": 2.6,
    "explorer.dimensions": 1.6,
    "explorer.dimension_figures": 2,
    "explorer.dimension_scores": 1.5,
    "explorer.dimension_looks": 2.6,
    "explorer.codebook_figures": 2,
    "explorer.rate": 1.5,
    "explorer.waves": 1.5,
    "explorer.sources": 2,
    "explorer.understanding": 2,
    "explorer.view": 2,
    "explorer.samples": 2,
    "explorer.run": 1,
    "explorer.opened": 0.5,
    "explorer.live": 1,
    "explorer.pad": 1,
    "explorer.keepsakes": 1,
    "explorer.films": 1.5,
    "explorer.curves": 1,
    "explorer.comparing": 0.5,
    "explorer.distortion": 0.7,
    "explorer.sides": 0.7,
    "explorer.compare_table": 2,
    "explorer.compare_plane": 2,
    "explorer.compare_sides": 2,
    "explorer.compare_curves": 2,
    "explorer.tour_figures": 1,
    "explorer.laboratory": 0.5,
    "explorer.laboratory_figures": 0.7,
    "explorer.steady": 1,
    "explorer.formulas": 1.5,
    "explorer.formula_figures": 1.6,
    "explorer.figures": 0,
    "explorer.form": 0,
    "explorer.job": 0.5,
    "explorer.launching": 0.6,
    "explorer.jobs": 0.7,
    "explorer.ending": 0.8,
    "explorer.processes": 0,
    "explorer.geometry": 0,
    "explorer.projection": 0,
    "explorer.layouts": 0.5,
    "explorer.paths": 0.5,
    "explorer.routes": 1.55,
    "explorer.walks": 2.8,
    "explorer.route_figures": 1.6,
    "explorer.packet": 0,
    "explorer.parts": 0,
    "explorer.budget": 0,
    "explorer.pictures": 0,
    "explorer.progress": 0,
    "explorer.ink": 0,
    "explorer.seeing": 1,
    "explorer.uploads": 0,
    "explorer.tour": 0,
    "explorer.tour_linear": 0.5,
    "explorer.tour_variational": 0.5,
    "explorer.tour_conditional": 0.5,
    "explorer.tour_discrete": 0.5,
    "explorer.tour_hierarchical": 0.5,
    "explorer.tour_chapters": 0.6,
    "explorer.toys": 0,
}
MAY_SHOW = {
    "app",
    "explorer.run",
    "explorer.address",
    "explorer.steady",
    "explorer.controls",
    "explorer.starts",
    "explorer.sources",
    "explorer.answers",
    "explorer.class_choices",
    "explorer.code_samples",
    "explorer.code_sources",
    "explorer.code_looks",
    "explorer.compare_table",
    "explorer.compare_plane",
    "explorer.compare_sides",
    "explorer.compare_curves",
    "explorer.level_looks",
    "explorer.level_overview",
    "explorer.dimension_looks",
    "explorer.progress",
    "explorer.board",
    "explorer.bound_looks",
    "explorer.stage_training",
    "explorer.walks",
    "explorer.training_fields",
    "explorer.training_data",
    "explorer.map",
    "explorer.gallery",
    "explorer.projecting",
    "explorer.bringing",
    "explorer.charting",
    "explorer.choosing",
    "explorer.training_form",
    "explorer.training_turn",
    "explorer.training_watch",
    "explorer.live",
    "explorer.pad",
    "explorer.pages",
}


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return "explorer.pages" if name.startswith("explorer.pages.") else name


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; `from explorer import run` is explorer.run."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in {"explorer", "explorer.pages"}:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


SCREEN = [ROOT / "app.py", *sorted((ROOT / "explorer").rglob("*.py"))]
TRAINER = sorted((ROOT / "trainer").rglob("*.py"))


@pytest.mark.parametrize("path", TRAINER, ids=module_of)
def test_the_trainer_knows_no_screen(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {"streamlit", "plotly", "umap", "explorer", "app"}


@pytest.mark.parametrize("path", SCREEN, ids=lambda path: ".".join(path.relative_to(ROOT).with_suffix("").parts))
def test_the_screen_imports_downwards(path: Path) -> None:
    here = module_of(path)
    if here == "explorer":
        assert not imports(path)
        return
    assert here in ORDER, f"{here} has no place in the order yet"
    for name in imports(path):
        if name.startswith("explorer."):
            target = "explorer.pages" if name.startswith("explorer.pages") else ".".join(name.split(".")[:2])
            assert ORDER[target] < ORDER[here], f"{here} imports {name}"
        if name.startswith("trainer"):
            assert name in {"trainer", "trainer.models"}, f"{here} imports {name}: go through `import trainer`"
        if name.split(".")[0] == "streamlit":
            assert here in MAY_SHOW, f"{here} imports streamlit"


def test_the_first_paint_waits_for_nothing_heavy() -> None:
    pages = ", ".join(f"explorer.pages.{path.stem}" for path in (ROOT / "explorer/pages").glob("[a-z]*.py"))
    code = f"import sys, {pages}, trainer; [trainer.load_summary(found.path) for found in trainer.checkpoints()];"
    code += "print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    roots = {name.split(".")[0] for name in loaded.split()}
    assert "streamlit" in roots
    assert not roots & {"torch", "sklearn", "scipy", "umap"}


def test_the_explorer_uses_only_what_the_trainer_exports() -> None:
    import trainer

    used = set()
    for path in SCREEN:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "trainer":
                used |= {alias.name for alias in node.names}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trainer":
                used.add(node.attr)
    assert used - {"models"} <= set(trainer.__all__)
    assert "load" in used
    assert all(getattr(trainer, name) is not None for name in trainer.__all__)
    assert "streamlit" not in {name.split(".")[0] for name in vars(sys.modules["trainer"])}
