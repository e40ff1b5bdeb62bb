// @ts-check
// Starts the page of a single file. This is a plain script, since a page from disk may import modules from blobs alone.

/**
 * Makes an address of every module, with the addresses of those that it imports in it.
 * @param {[name: string, source: string][]} modules  each after those that it imports
 */
function link(modules) {
  /** @type {Record<string, string>} */
  const addresses = {};
  for (const [name, source] of modules) {
    const linked = source.replace(/(from |^import )"[./\w]*?(\w+\.js)"/gm, (_, start, other) => `${start}"${addresses[other]}"`);
    addresses[name] = URL.createObjectURL(new Blob([linked], { type: "text/javascript" }));
  }
  return addresses;
}

/** @param {string} id  of an element that holds JSON */
function parsed(id) {
  return JSON.parse(/** @type {HTMLElement} */ (document.getElementById(id)).textContent ?? "");
}

/**
 * The bytes that an element holds as gzip in base64. The element is removed.
 * @param {Element} element
 */
async function unpacked(element) {
  const letters = atob(element.textContent ?? "");
  element.remove();
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** A worker that has the module worker.js, with all that is packed in this file: the network, and what runs it. */
async function startWorker() {
  const elements = [...document.querySelectorAll('script[type="application/octet-stream"]')];
  const packed = await Promise.all(elements.map(unpacked));
  const named = Object.fromEntries(elements.map(({ id }, index) => [id, packed[index]]));
  const start = `${link}
    onmessage = async ({ data }) => {
      onmessage = null;
      await import(link(data.modules)["worker.js"]).then((module) => module.start(data)).catch((error) =>
        postMessage({ id: 0, error: String(error) }));
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([start], { type: "text/javascript" })));
  const description = parsed("description");
  worker.postMessage({ modules: parsed("worker-modules"), description, ...named }, packed);
  return { worker, description };
}

(async () => {
  try {
    const { start } = await import(link(parsed("page-modules"))["single_file.js"]);
    await start(startWorker());
  } catch (error) {
    const status = /** @type {HTMLElement} */ (document.getElementById("status"));
    status.textContent = error instanceof Error ? error.message : String(error);
  }
})();
