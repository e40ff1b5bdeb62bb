// @ts-check
import { start as startPage } from "../../draw/page/page.js";
import { WorkerEngine } from "./worker_engine.js";

/**
 * Shows the page with the network of this file.
 * @param {Promise<{worker: Worker, description: import("../../draw/page/engine.js").Description}>} started
 */
export async function start(started) {
  const { worker, description } = await started;
  const engine = new WorkerEngine(worker, description);
  await engine.ready;
  Object.assign(globalThis, { deepdrawEngine: engine }); // for the proof that the file is the same as its checkpoint
  await startPage([engine]);
}
