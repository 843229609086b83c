"""What the conformance suite has to know of each scheduler: how its users hand in jobs, and what they see."""

from __future__ import annotations

import abc
import shlex
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ask:
    """What a user asks for: ``nodes`` nodes with ``cpus`` each, or ``tasks`` such jobs as one array.

    ``array`` is the node array that the job has to run on, ``seconds`` how long it sleeps before it says its host.
    """

    array: str = "htc"
    nodes: int = 1
    cpus: int = 1
    gpus: int = 0
    exclusive: bool = False
    tasks: int = 0
    seconds: float = 0
    name: str = ""


@dataclass(frozen=True)
class Job:
    """A job that was handed in: its id, and the token that its files begin with."""

    id: str
    token: str
    ask: Ask


class Driver(abc.ABC):
    """One scheduler, used as its users do. ``show`` is a command that shows the whole queue to a person, ``unwell`` one
    that shows why nodes take no jobs."""

    type = ""
    show = ""
    unwell = ""
    daemon = ""

    @abc.abstractmethod
    def definition(self, arrays: list[str]) -> dict[str, Any]:
        """The part of the cluster definition that is about the scheduler: scheduler, partitions or queues."""

    @abc.abstractmethod
    def submit(self, ask: Ask, token: str) -> str:
        """The command that hands in ``./<token>.sh``."""

    def launch(self, ask: Ask) -> str:
        """What starts a command on every node of the job, inside its script."""
        return ""

    def files(self, ask: Ask, token: str) -> dict[str, str]:
        """Files beside the script that ``submit`` needs, by name."""
        return {}

    @abc.abstractmethod
    def identity(self, output: str) -> str:
        """The job's id from what ``submit`` printed."""

    @abc.abstractmethod
    def reason(self, identity: str) -> str:
        """The command that shows a job's owner why it waits."""

    @abc.abstractmethod
    def cancel(self, identity: str) -> str:
        """The command that takes a job back."""

    @abc.abstractmethod
    def running(self, identity: str) -> str:
        """A command that prints ``yes`` when the job runs."""


class Slurm(Driver):
    """Slurm."""

    type = "slurm"
    unwell = "sinfo --noheader --list-reasons --format=%E"
    show = "squeue --all; sinfo --Node --long"
    daemon = "slurmctld"

    def definition(self, arrays: list[str]) -> dict[str, Any]:
        return {
            "scheduler": {
                "type": "slurm",
                "slurm_conf": {
                    "SlurmdParameters": "config_overrides",
                    "ProctrackType": "proctrack/linuxproc",
                    "TaskPlugin": "task/none",
                    "JobAcctGatherType": "jobacct_gather/none",
                    "SchedulerParameters": "bf_interval=5,sched_interval=5,batch_sched_delay=1",
                    "SlurmctldParameters": "power_save_interval=2",
                    "SlurmdTimeout": 30,
                    "AuthInfo": "cred_expire=45",  # for so long a job waits that was given back
                },
                "cgroup_conf": {"CgroupPlugin": "disabled"},
            },
            "partitions": [
                {"name": array, "node_arrays": [array], "default": array == "htc"} for array in arrays
            ],
        }  # fmt: skip

    def submit(self, ask: Ask, token: str) -> str:
        words = ["sbatch", "--parsable", f"--partition={ask.array}", "--time=10", f"--output={token}.log"]
        words += [f"--job-name={ask.name or token}", f"--comment={ask.name or token}", "--requeue"]
        words += [f"--nodes={ask.nodes}", f"--ntasks={ask.nodes}", f"--cpus-per-task={ask.cpus}"]
        words += [f"--gres=gpu:{ask.gpus}"] if ask.gpus else []
        words += ["--exclusive"] if ask.exclusive else []
        words += [f"--array=1-{ask.tasks}"] if ask.tasks else []
        return shlex.join([*words, f"{token}.sh"])

    def launch(self, ask: Ask) -> str:
        return "srun" if ask.nodes > 1 else ""

    def identity(self, output: str) -> str:
        return output.strip().partition(";")[0]

    def reason(self, identity: str) -> str:
        return f"scontrol show job {identity}"

    def cancel(self, identity: str) -> str:
        return f"scancel {identity}"

    def running(self, identity: str) -> str:
        return f"squeue --noheader --jobs={identity} --states=RUNNING --format=yes"


# A parallel job is over when its first node is, and the others are killed, unless it says this.
ALL_NODES = '+ParallelShutdownPolicy = "WAIT_FOR_ALL"'


class HTCondor(Driver):
    """HTCondor: an exclusive job asks for all CPUs of a node, a parallel one runs its script on every node."""

    type = "htcondor"
    unwell = "condor_status -af HpcUnwell"
    show = "condor_q -allusers -nobatch; condor_status"
    daemon = "condor"

    def definition(self, arrays: list[str]) -> dict[str, Any]:
        quick = {"NEGOTIATOR_INTERVAL": 5, "NEGOTIATOR_CYCLE_DELAY": 2, "SCHEDD_INTERVAL": 5, "UPDATE_INTERVAL": 5,
                 "CLASSAD_LIFETIME": 30}  # fmt: skip
        return {"scheduler": {"type": "htcondor", "condor_config": quick}}

    def files(self, ask: Ask, token: str) -> dict[str, str]:
        name = (ask.name or token).replace('"', '\\"')
        lines = [
            f"batch_name = {name}",
            f"executable = {token}.sh",
            f"request_cpus = {4 if ask.exclusive else ask.cpus}",
            "request_memory = 256",
            f'requirements = node_array == "{ask.array}"',
            f"log = {token}.events",
            f"output = {token}.log",
            f"error = {token}.log",
            *([f"request_gpus = {ask.gpus}"] if ask.gpus else []),
            *(["universe = parallel", f"machine_count = {ask.nodes}", ALL_NODES] if ask.nodes > 1 else []),
            f"queue {ask.tasks or 1}",
        ]
        return {f"{token}.sub": "\n".join(lines) + "\n"}

    def submit(self, ask: Ask, token: str) -> str:
        return f"condor_submit -terse {token}.sub"

    def identity(self, output: str) -> str:
        return output.split()[0]

    def reason(self, identity: str) -> str:
        return f"condor_q -long {identity}"

    def cancel(self, identity: str) -> str:
        return f"condor_rm {identity}"

    def running(self, identity: str) -> str:
        return f"condor_q {identity} -af JobStatus | sed -n s/^2$/yes/p"


class GridEngine(Driver):
    """Grid Engine."""

    type = "gridengine"
    unwell = "qhost -F hpc_drain"
    show = "qstat -f -u '*'; qhost"
    daemon = "gridengine-master"

    def definition(self, arrays: list[str]) -> dict[str, Any]:
        return {
            "scheduler": {
                "type": "gridengine",
                "configuration": {"load_report_time": "00:00:05", "max_unheard": "00:00:30"},
                "scheduler_configuration": {"schedule_interval": "0:0:3"},
            },
            "queues": [{"name": array, "node_arrays": [array], "default": array == "htc"} for array in arrays],
        }

    def submit(self, ask: Ask, token: str) -> str:
        words = ["qsub", "-terse", "-cwd", "-j", "y", "-o", f"{token}.log", "-q", ask.array]
        # qsub refuses some characters in names, and takes them in what is said about a job.
        words += ["-N", "".join("_" if char in "/@:*?\\ " else char for char in ask.name or token)]
        words += ["-ac", f"said={ask.name.replace(',', ';')}"] if ask.name else []
        if ask.nodes > 1:
            words += ["-pe", "mpi*", str(ask.nodes * ask.cpus)]
        elif ask.cpus > 1:
            words += ["-pe", "smp", str(ask.cpus)]
        words += ["-l", f"gpu={ask.gpus}"] if ask.gpus else []
        words += ["-l", "exclusive"] if ask.exclusive else []
        words += ["-t", f"1-{ask.tasks}"] if ask.tasks else []
        return shlex.join([*words, f"{token}.sh"])

    def launch(self, ask: Ask) -> str:
        # One command on each of the job's nodes, as its parallel environment starts them.
        each = "awk '{print $1}' $PE_HOSTFILE | xargs -P 0 -I HOST qrsh -inherit -nostdin HOST env --chdir=$PWD"
        return each if ask.nodes > 1 else ""

    def identity(self, output: str) -> str:
        return output.strip().partition(".")[0]

    def reason(self, identity: str) -> str:
        return f"qstat -j {identity}"

    def cancel(self, identity: str) -> str:
        return f"qdel {identity}"

    def running(self, identity: str) -> str:
        return f"qstat -s r -u '*' | awk '$1 == \"{identity}\" {{print \"yes\"; exit}}'"


DRIVERS: dict[str, type[Driver]] = {"gridengine": GridEngine, "slurm": Slurm, "htcondor": HTCondor}
