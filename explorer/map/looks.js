// Colours and font of the page, and bits out of a packet.

// Bits, the first of a byte highest -> bytes of 0 and 1.
function unpacked(bits, count) {
  return Uint8Array.from({ length: count }, (_, i) => (bits[i >> 3] >> (7 - (i & 7))) & 1);
}

function looks(root) {
  const probe = element("i");
  root.append(probe);
  probe.style.cssText = "color: var(--st-primary-color); background-color: var(--st-background-color)";
  const { color: accent, backgroundColor } = getComputedStyle(probe);
  probe.remove();
  const { color, fontFamily } = getComputedStyle(root);
  return { accent, backgroundColor, color, fontFamily };
}

function luminance(colour) {
  const [r, g, b] = colour.match(/[\d.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}
