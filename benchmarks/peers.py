"""What training.py trains, and the loops of others that it compares ours with."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from trainer import data, models
from trainer.data import Images

ON = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MLP, CONV = {"latents": 20, "hidden": (400,)}, {"net": "conv", "latents": 10, "hidden": (256, 256)}
BATCH = {"mlp": 128, "conv": 64}
PYTHAE_BATCHES = 50  # in one of its epochs
Steps = Callable[[int], int]  # takes about that many steps and says how many it took


def digits() -> Images:
    """MNIST if it is on this machine, or bytes of its shape."""
    if data.is_here("mnist"):
        return data.load("mnist")
    noise = torch.randint(256, (60_000, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images("noise", noise)


def build(net: str, images: Images) -> nn.Module:
    """Our VAE with the net of the comparison."""
    kind = models.get("vae")
    return kind(images.shape, kind.Options.read(MLP if net == "mlp" else CONV)).to(ON)


def images_for(net: str) -> Images:
    return digits() if net == "mlp" else data.load("sprites")


class Pictures(Dataset[Tensor]):
    """An image per index, by way of a PIL image, as torchvision's sets with ToTensor hand them out."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels  # (n, h, w) uint8

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.pixels[index].numpy())
        values = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        return values.view(1, picture.height, picture.width).float().div(255)  # (1, h, w)


def endless(images: Images, batch: int, count: int) -> Iterator[Tensor]:
    """Batches of the first `count` images from a DataLoader, shuffled, with a worker where there is CUDA."""
    pixels = (images.batch(torch.arange(count)) * 255).to(torch.uint8)[:, 0]
    there = {"num_workers": 1, "pin_memory": True} if ON.type == "cuda" else {}
    loader = DataLoader(Pictures(pixels), batch_size=batch, shuffle=True, drop_last=True, **there)
    while True:
        for x in loader:
            yield x.to(ON)


def looped(x_from: Iterator[Tensor], model: nn.Module, loss_of: Callable[[Tensor], Tensor]) -> Steps:
    """The loop that most examples have: Adam as it comes, and the loss read after every step."""
    optimizer, seen = torch.optim.Adam(model.parameters(), lr=1e-3), 0.0

    def steps(n: int) -> int:
        nonlocal seen
        for _ in range(n):
            optimizer.zero_grad()
            loss = loss_of(next(x_from))
            loss.backward()
            seen += loss.item()
            optimizer.step()
        return n

    return steps


class Example(nn.Module):
    """The net of the VAE in pytorch/examples: 784-400-20-400-784, mean and log-variance from a layer each."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.outside, self.image = nn.Linear(20, 400), nn.Linear(400, 784)

    def loss(self, x: Tensor) -> Tensor:
        """Cross-entropy and KL, summed over the batch."""
        x = x.view(-1, 784)
        h = F.relu(self.inside(x))
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        image = torch.sigmoid(self.image(F.relu(self.outside(z))))
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return F.binary_cross_entropy(image, x, reduction="sum") + kl


def examples() -> Steps:
    model = Example().to(ON)
    return looped(endless(digits(), BATCH["mlp"], 60_000), model, model.loss)


class Burgess(nn.Module):
    """The conv net of Burgess et al. 2018 for 64×64, of torch's own layers: the VAE that `build` makes, as written down
    from the paper.
    """

    def __init__(self) -> None:
        super().__init__()
        inside, outside = [1, 32, 32, 32, 32], [32, 32, 32, 32, 1]
        down = [(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.ReLU()) for a, b in itertools.pairwise(inside)]
        up = [(nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)) for a, b in itertools.pairwise(outside)]
        self.encoder = nn.Sequential(*itertools.chain(*down), nn.Flatten(), *linear(512, 256, 256, 20))
        self.decoder = nn.Sequential(*linear(10, 256, 256, 512), nn.Unflatten(1, (32, 4, 4)), *itertools.chain(*up))

    def loss(self, x: Tensor) -> Tensor:
        """Cross-entropy and KL, means over the batch."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        logits = self.decoder(mean + torch.randn_like(mean) * torch.exp(0.5 * log_var))
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)


def linear(*widths: int) -> list[nn.Module]:
    """Fully connected layers with ReLU between them."""
    layers = [(nn.Linear(before, after), nn.ReLU()) for before, after in itertools.pairwise(widths)]
    return list(itertools.chain(*layers))[:-1]


def plain() -> Steps:
    """A DataLoader and an ordinary loop around a net and a loss of torch's own parts."""
    model = Burgess().to(ON)
    return looped(endless(images_for("conv"), BATCH["conv"], 20_000), model, model.loss)


def pythae() -> Steps:
    """pythae's BaseTrainer, an epoch at a time, on its own kind of set: float images in memory."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.inside, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)

        def forward(self, x: Tensor) -> ModelOutput:
            h = F.relu(self.inside(x.flatten(1)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.layers = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).view(-1, 1, 28, 28))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    x = digits().batch(torch.arange(PYTHAE_BATCHES * BATCH["mlp"]))
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(), learning_rate=1e-3, per_device_train_batch_size=BATCH["mlp"], num_epochs=1
    )
    trainer = BaseTrainer(VAE(config, Encoder(), Decoder()), BaseDataset(x, torch.zeros(len(x))), None, settings)
    trainer.prepare_training()

    def steps(n: int) -> int:
        epochs = max(1, round(n / PYTHAE_BATCHES))
        for epoch in range(epochs):
            trainer.train_step(epoch)
        return epochs * PYTHAE_BATCHES

    return steps
