// Brings a map what it asked for. The map is another component, so that its points need not travel with every answer.

export default function ({ data }) {
  if (!data) return;
  const [header, payload] = unpack(data);
  window.latentMap ??= {};
  window.latentMap[`${header.key}/${header.topic}`] = { header, payload };
  window.dispatchEvent(new CustomEvent("latent-map", { detail: header }));
}
