// @ts-check
import { start } from "./page.js";
import { serverEngines } from "./server_engine.js";

try {
  await start(await serverEngines());
} catch (error) {
  const status = /** @type {HTMLElement} */ (document.getElementById("status"));
  status.textContent = error instanceof Error ? error.message : String(error);
}
