"""The jobs of a sweep on this machine: each a process of its own, as many at once as there are GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from deepdraw.runtime import PACKAGE, create_file, interruptible, num_cores, sweep_command
from deepdraw.sweep import processes
from deepdraw.sweep.job_state import Queue, job_states
from deepdraw.sweep.record import Job, Sweep, write_sweep
from deepdraw.sweep.reports import Report, readable_report, write_report
from deepdraw.sweep.table import job_line

POLL_SECONDS = 0.1  # seconds between two looks at the running processes
GRACE_SECONDS = 20.0  # after which a job is interrupted again if Ctrl-C broke its work and yet it has not ended


def run_jobs(sweep: Sweep, jobs: Sequence[Job], *, n_jobs: int | None = None, threads: int | None = None) -> bool:
    """Run these jobs, `n_jobs` at once, and print a line for each that ends; False where Ctrl-C stopped them.

    n_jobs: None for one on each GPU, or one where there is none; more than there are GPUs share them.
    threads: of each job on the CPU (OMP_NUM_THREADS); None for an equal share of the cores.
    Raises ValueError where another process is running jobs of the sweep.
    """
    lock = processes.launcher_lock(sweep.directory)
    if not lock.acquire():
        raise ValueError(f"{lock.owner} runs the jobs of {sweep.directory}: wait for it, or cancel it")
    with lock, interruptible(often=True):
        processes.stop_request(sweep.directory).unlink(missing_ok=True)  # it was for an earlier launcher
        attempt = time.strftime("%Y%m%d%H%M%S")
        jobs = [replace(job, ids=[*job.ids, f"{attempt}_{job.number}"]) for job in jobs]
        sweep = write_sweep(sweep.directory, sweep.launcher, sweep.objective, jobs)
        gpus = visible_gpus()
        n_jobs = min(n_jobs or len(gpus) or 1, len(jobs))
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment.setdefault("OMP_NUM_THREADS", str(threads or max(1, num_cores() // n_jobs)))
        where = f"GPUs {', '.join(gpus)}" if gpus else f"the CPU, {environment['OMP_NUM_THREADS']} threads each"
        print(f"{len(jobs)} jobs, {n_jobs} at once on {where}; {sweep.objective} is compared")
        print(f"logs in {sweep.directory / 'logs'}")
        print(f"where they are: {sweep_command('status', sweep.directory)}", flush=True)
        slots = [gpus[slot % len(gpus)] if gpus else None for slot in range(n_jobs)]
        return Slots(sweep, jobs, slots).run(environment)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, without the seconds that torch takes."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu.strip() for gpu in chosen.split(",") if gpu.strip() not in ("", "-1")]
    try:
        done = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(gpu) for gpu in range(sum(line.startswith("GPU ") for line in done.stdout.splitlines()))]


class Slots:
    """Jobs that run and jobs that wait for a slot; slots: the GPU of each, None on the CPU."""

    def __init__(self, sweep: Sweep, jobs: Sequence[Job], slots: Sequence[str | None]) -> None:
        self._sweep = sweep
        self._total, self._num_ended = len(jobs), 0
        self._waiting = list(jobs)
        self._free = list(slots)
        self._running: list[tuple[Job, str | None, subprocess.Popen[bytes]]] = []
        code = sweep.directory / "code"
        self._code = code if code.is_dir() else PACKAGE.parent
        self._request = processes.stop_request(sweep.directory)

    def run(self, environment: Mapping[str, str]) -> bool:
        """Run all jobs; False where Ctrl-C or `cancel` stopped them, which a second Ctrl-C does at once."""
        try:
            while self._waiting or self._running:
                while self._waiting and self._free:
                    self._start(self._waiting.pop(0), self._free.pop(0), environment)
                self._collect_ended()
                if self._request.exists():
                    self._request.unlink()
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            print(f"\nstopping: {len(self._running)} jobs save what they have; Ctrl-C again to not wait for that")
            self._waiting.clear()
            self._stop()
            return False
        return True

    def _start(self, job: Job, gpu: str | None, environment: Mapping[str, str]) -> None:
        logs = self._sweep.directory / "logs"
        logs.mkdir(exist_ok=True)
        number = job.ids[-1]
        with create_file(logs / f"{number}_log.out") as out, create_file(logs / f"{number}_log.err") as err:
            process = subprocess.Popen(
                processes.job_command(self._sweep.directory, job.number, number),
                cwd=self._code,  # which Python imports from; the job then goes to the directory of the command
                env={**environment, **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # or a terminal's Ctrl-C would reach it too, and the second one not let it save
            )
        self._running.append((job, gpu, process))

    def _collect_ended(self) -> None:
        """Print a line for each job that has ended since, and free its slot; wait a moment where none has."""
        ended = [entry for entry in self._running if entry[2].poll() is not None]
        for entry in ended:
            job, gpu, process = entry
            self._running.remove(entry)
            self._free.append(gpu)
            self._record_exit(job, process.returncode)
            (state,) = job_states(replace(self._sweep, jobs=[job]), lambda *_: Queue({}, {}), lambda _: "")
            self._num_ended += 1
            print(f"[{self._num_ended}/{self._total}] {job_line(self._sweep, state)}", flush=True)
        if not ended:
            time.sleep(POLL_SECONDS)

    def _record_exit(self, job: Job, status: int) -> None:
        """Write the report of a job that ended without doing so itself, as after SIGKILL."""
        report = readable_report(job.directory)
        if report is None or report.id != job.ids[-1]:
            report = Report("RUNNING", job.ids[-1])
        if report.state != "RUNNING":
            return
        stopped = status in (130, -signal.SIGINT)
        cause = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        write_report(job.directory, replace(report, state="STOPPED" if stopped else "FAILED", cause=cause))

    def _stop(self) -> None:
        """Let the running jobs save and end."""
        for number in (signal.SIGINT, signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)):
            for _, _, process in self._running:
                process.send_signal(number)
            again = time.monotonic() + GRACE_SECONDS
            try:
                while self._running:
                    self._collect_ended()
                    if time.monotonic() > again:
                        self._interrupt_again()
                return
            except KeyboardInterrupt:
                continue

    def _interrupt_again(self) -> None:
        """Interrupt again the jobs that a second SIGINT ends at once. A job that is saving still handles the signal."""
        for _, _, process in self._running:
            if processes.has_default_handler(process.pid, signal.SIGINT):
                process.send_signal(signal.SIGINT)
