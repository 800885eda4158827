#!/usr/bin/env python3
"""carat, llama.cpp and ik_llama.cpp side by side on this machine.

  peers.py install [--peers DIR]                         builds the peers from PyPI, natively (minutes)
  peers.py run MODEL.gguf ... [--tests prefill,decode,batch] [--threads 1,2] [--repetitions 5] [--csv FILE]
  peers.py quantize IN.gguf [--to Q4_K_M,Q8_0] [--threads 2] [--repetitions 3] [--csv FILE]

One repetition runs every engine once, each in a process of its own that loads the file, runs a prompt and a few
tokens unmeasured, and then measures; the order changes from repetition to repetition. Reported are medians, and the
ratio of speeds, carat to peer, as the median of the ratios within a repetition, with their range: what the machine does to all
engines of a repetition cancels. Shares are of the limits that `carat bench` measures in the same repetition.

The peers are the packages llama-cpp-python and ik-llama-cpp-python, compiled here with GGML_NATIVE, and timed through
the C interface (llama_decode with a batch), so that Python adds microseconds. Flash attention is on, key-value caches
are F16, files are mapped: the defaults of both projects' own benchmark programs.
"""
import argparse
import csv
import ctypes
import datetime
import glob
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PACKAGES = {"llama.cpp": "llama-cpp-python", "ik_llama.cpp": "ik-llama-cpp-python"}
FILE_TYPES = {
    "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
    "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q2_K_S": 21, "IQ4_NL": 25,
    "IQ4_XS": 30, "BF16": 32,
}


def fail(sentence):
    sys.exit(f"peers.py: {sentence}")


# ---- The peers' side: runs inside the virtual environment of one peer and prints one JSON document.


def library():
    """The module with the C interface, the same names for both peers."""
    try:
        from llama_cpp import llama_cpp as module
        return module
    except ImportError:
        from ik_llama_cpp import _ctypes_api as module
    module._lib.llama_synchronize.argtypes = [ctypes.c_void_p]
    module._lib.llama_synchronize.restype = None
    module.llama_synchronize = module._lib.llama_synchronize
    return module


class Peer:
    """One engine of the llama.cpp family through its C interface, older and newer names alike."""

    def __init__(self, model, threads, positions, sequences):
        L = self.L = library()
        L.llama_backend_init()
        start = time.perf_counter()
        self.model = L.llama_model_load_from_file(model.encode(), L.llama_model_default_params())
        if not self.model:
            fail(f"{model} cannot be loaded")
        p = L.llama_context_default_params()
        p.n_ctx = sequences * (positions + 64)
        p.n_batch = p.n_ubatch = 512
        p.n_seq_max = sequences
        p.n_threads = p.n_threads_batch = threads
        fields = {name for name, *_ in p._fields_}
        if "flash_attn" in fields:  # newer llama.cpp has a type whose default, auto, is on
            p.flash_attn = True
        self.context = L.llama_init_from_model(self.model, p)
        if not self.context:
            fail("the context cannot be made")
        self.ready = time.perf_counter() - start
        self.batch = L.llama_batch_init(512, 0, 1)
        self.vocabulary = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))

    def clear(self):
        L = self.L
        if hasattr(L, "llama_memory_clear"):
            L.llama_memory_clear(L.llama_get_memory(self.context), True)
        else:
            L.llama_kv_cache_clear(self.context)

    def token(self, i):
        return 300 + i * 7919 % (self.vocabulary - 300)

    def decode(self, entries):
        """entries: (token, position, sequence, logits wanted) ..."""
        b = self.batch
        b.n_tokens = len(entries)
        for i, (token, position, sequence, logits) in enumerate(entries):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0], b.logits[i] = token, position, 1, sequence, logits
        if self.L.llama_decode(self.context, b) != 0:
            fail("llama_decode failed")

    def append(self, first, count, sequence=0):
        for begin in range(0, count, 512):
            n = min(512, count - begin)
            self.decode([(self.token(first + begin + i), first + begin + i, sequence, begin + i == count - 1)
                         for i in range(n)])
        self.L.llama_synchronize(self.context)

    def generate(self, first, count, sequences=1):
        for i in range(count):
            self.decode([(self.token(first + i), first + i, s, True) for s in range(sequences)])
        self.L.llama_synchronize(self.context)


def timed(body):
    start = time.perf_counter()
    body()
    return time.perf_counter() - start


def peer_speed(job):
    batches = job["batches"]
    positions = job["depth"] + max(job["prefill"], job["decode"])
    peer = Peer(job["model"], job["threads"], positions, max(batches + [1]))
    out = {"ready_seconds": peer.ready}
    for warm in (True, False):
        if job["prefill"]:
            peer.clear()
            s = timed(lambda: peer.append(0, job["prefill"]))
            out["prefill"] = job["prefill"] / s
        for batch in batches if job["decode"] else []:
            peer.clear()
            if job["depth"]:
                for sequence in range(batch):
                    peer.append(0, job["depth"], sequence)
            n = 8 if warm else job["decode"]
            s = timed(lambda: peer.generate(job["depth"], n, batch))
            out[f"decode x{batch}"] = batch * n / s
    return out


def peer_quantize(job):
    L = library()
    if not hasattr(L, "llama_model_quantize"):  # ik_llama.cpp's package brings the program instead
        from ik_llama_cpp import find_quantize_bin
        program = find_quantize_bin()
        libraries = os.path.join(os.path.dirname(os.path.dirname(program)), "lib")
        command = [str(program), job["model"], job["out"], job["to"], str(job["threads"])]
        start = time.perf_counter()
        subprocess.run(command, check=True, env=dict(os.environ, LD_LIBRARY_PATH=libraries))
        return {"seconds": time.perf_counter() - start}
    L.llama_backend_init()
    p = L.llama_model_quantize_default_params()
    p.nthread = job["threads"]
    p.ftype = FILE_TYPES[job["to"]]
    start = time.perf_counter()
    if L.llama_model_quantize(job["model"].encode(), job["out"].encode(), ctypes.byref(p)) != 0:
        fail("llama_model_quantize failed")
    return {"seconds": time.perf_counter() - start}


def worker(text):
    job = json.loads(text)
    # The libraries print to stdout and stderr as they like; the document goes to a copy of stdout.
    real = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    result = {"speed": peer_speed, "quantize": peer_quantize}[job["what"]](job)
    os.write(real, json.dumps(result).encode())
    os._exit(0)  # no destructors: a worker is done when it has answered


# ---- This side.


def python_of(peers, engine):
    return os.path.join(peers, engine, "bin", "python")


def install(args):
    for engine, package in PACKAGES.items():
        python = python_of(args.peers, engine)
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", os.path.join(args.peers, engine)], check=True)
        module = package.replace("-python", "").replace("-", "_")  # llama_cpp, ik_llama_cpp
        has = subprocess.run([python, "-c", f"import {module}"], capture_output=True,
                             env=environment_of(args, engine))
        if has.returncode == 0:
            continue
        with tempfile.TemporaryDirectory() as folder:
            build = [python, "-m", "pip"]
            subprocess.run([*build, "download", "--quiet", "--no-binary", package, "--no-deps", "-d", folder, package],
                           check=True)
            shutil.unpack_archive(os.path.join(folder, os.listdir(folder)[0]), folder)
            source = next(e.path for e in os.scandir(folder) if e.is_dir())
            if engine == "ik_llama.cpp":
                complete_ik_source(source)
            # ik_llama.cpp's attention kernels for every pair of cache types take an hour to compile and are not used.
            environment = dict(os.environ, CMAKE_ARGS="-DGGML_NATIVE=ON -DGGML_IQK_FA_ALL_QUANTS=OFF", CXXFLAGS="-w")
            subprocess.run([*build, "install", "--quiet", source, "numpy"], check=True, env=environment)


def complete_ik_source(source):
    """The package's 0.1.5 source lacks one file of its build, which records who built it."""
    path = os.path.join(source, "vendor", "ik_llama.cpp", "common", "cmake", "build-info-gen-cpp.cmake")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            for name, value in (("NUMBER", 0), ("COMMIT", "unknown"), ("COMPILER", "unknown"), ("TARGET", "unknown")):
                out.write(f'set(BUILD_{name} "{value}")\n')
            out.write("configure_file(common/build-info.cpp.in common/build-info.cpp)\n")


def environment_of(args, engine):
    """ik_llama.cpp's libraries do not find each other by themselves."""
    folders = glob.glob(os.path.join(args.peers, engine, "lib", "python*", "site-packages", "*llama_cpp", "lib"))
    return dict(os.environ, LD_LIBRARY_PATH=":".join(folders + [os.environ.get("LD_LIBRARY_PATH", "")]))


def version_of(args, engine):
    if engine == "carat":
        return subprocess.run([args.carat, "--version"], capture_output=True, text=True).stdout.strip()
    code = "import importlib.metadata as m; print(m.version(%r))" % PACKAGES[engine]
    done = subprocess.run([python_of(args.peers, engine), "-c", code], capture_output=True, text=True)
    return f"{PACKAGES[engine]} {done.stdout.strip()}"


def run_peer(args, engine, job):
    command = [python_of(args.peers, engine), os.path.abspath(__file__), "worker", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment_of(args, engine))
    if done.returncode != 0 or not done.stdout:
        print(f"{engine} failed on {job['model']}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def run_carat(args, job):
    command = [args.carat, "bench", job["model"], "--json", "-q", "--repetitions", "1", "--threads",
               str(job["threads"]), "--prefill", str(job["prefill"]), "--decode", str(job["decode"]),
               "--depth", str(job["depth"]), "--batch", ",".join(map(str, job["batches"] or [1]))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"carat failed: {done.stderr.strip()}")
    document = json.loads(done.stdout)
    out = {"ready_seconds": document["ready_seconds"], "shares": {}, "limits": document["limits"][0]}
    for r in document["results"]:
        name = "prefill" if r["test"] == "prefill" else f"decode x{r['batch']}"
        out[name] = r["tokens_per_second"]["median"]
        kind = "compute_fraction" if r["test"] == "prefill" else "memory_bandwidth_fraction"
        out["shares"][name] = r[kind]["median"]
    return out


def machine():
    cpu = platform.processor()
    memory = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            info = dict(line.split(":", 1) for line in f.read().split("\n\n")[0].splitlines() if ":" in line)
        info = {k.strip(): v.strip() for k, v in info.items()}
        cpu = f"{info.get('model name', cpu)} (family {info.get('cpu family')}, model {info.get('model')})"
        with open("/proc/meminfo", encoding="utf-8") as f:
            memory = f"{int(f.readline().split()[1]) / 1e6:.0f} GB"
    except OSError:
        pass
    return f"{cpu}, {os.cpu_count()} processors, {memory}, {platform.system()} {platform.release()}"


def warn_if_busy():
    load, processors = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > 0.3 * processors:
        print(f"peers.py: the load is {load:.1f} on {processors} processors: the figures will say little, those of "
              "programs whose threads spin least of all", file=sys.stderr)


class Table:
    """Measurements, to a CSV file as they come and summed up at the end."""

    COLUMNS = ["time", "machine", "engine", "version", "file", "test", "threads", "repetition", "value", "unit",
               "share_of_limit", "read_gb_s", "int8_gop_s", "f32_gop_s"]

    def __init__(self, args):
        warn_if_busy()
        self.args = args
        self.machine = machine()
        self.versions = {e: version_of(args, e) for e in args.engines}
        self.rows = []
        self.file = open(args.csv, "a", newline="", encoding="utf-8") if args.csv else None
        if self.file:
            self.writer = csv.DictWriter(self.file, self.COLUMNS)
            if self.file.tell() == 0:
                self.writer.writeheader()

    def add(self, engine, path, test, threads, repetition, value, unit, share=None, limits=None):
        limits = limits or {}
        row = dict(zip(self.COLUMNS, [
            datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"), self.machine, engine,
            self.versions[engine], os.path.basename(path), test, threads, repetition, f"{value:.6g}", unit,
            "" if share is None else f"{share:.3f}", *[
                f"{limits.get(k, 0) / 1e9:.1f}" if limits else ""
                for k in ("read_bytes_per_second", "int8_operations_per_second", "f32_operations_per_second")]]))
        self.rows.append((engine, os.path.basename(path), test, threads, repetition, value, share, unit))
        if self.file:
            self.writer.writerow(row)
            self.file.flush()

    def print(self):
        print(self.machine)
        for engine in self.args.engines:
            print(f"  {engine}: {self.versions[engine]}")
        others = [e for e in self.args.engines if e != "carat"]
        head = f"{'file':<28} {'test':<14} {'thr':>3} {'carat':>9} {'share':>5}"
        for engine in others:
            head += f"  {engine:>12} {'ratio (range)':>18}"
        print(head)
        keys = list(dict.fromkeys(r[1:4] for r in self.rows))
        for key in keys:
            mine = {r[4]: r[5] for r in self.rows if r[1:4] == key and r[0] == "carat"}
            shares = [r[6] for r in self.rows if r[1:4] == key and r[0] == "carat" and r[6] is not None]
            name, test, threads = key
            seconds = any(r[7] == "s" for r in self.rows if r[1:4] == key)
            line = f"{name[:28]:<28} {test:<14} {threads:>3} "
            line += f"{statistics.median(mine.values()):>9.2f} " if mine else f"{'-':>9} "
            line += f"{100 * statistics.median(shares):>3.0f} %" if shares else f"{'':>5}"
            for engine in others:
                theirs = {r[4]: r[5] for r in self.rows if r[1:4] == key and r[0] == engine}
                if not theirs:
                    line += f"  {'-':>12} {'':>18}"
                    continue
                line += f"  {statistics.median(theirs.values()):>12.2f}"
                ratios = [theirs[i] / mine[i] if seconds else mine[i] / theirs[i] for i in theirs if i in mine]
                line += (f" {statistics.median(ratios):>5.2f} ({min(ratios):.2f}..{max(ratios):.2f})".rjust(19)
                         if ratios else " " * 19)
            print(line)


def run(args):
    table = Table(args)
    tests = args.tests.split(",")
    batches = [1] if "decode" in tests else []
    if "batch" in tests:
        batches += [int(n) for n in args.batch.split(",")]
    for repetition in range(args.repetitions):
        for model in args.models:
            for threads in map(int, args.threads.split(",")):
                job = {"what": "speed", "model": model, "threads": threads, "depth": args.depth, "batches": batches,
                       "prefill": args.prefill if "prefill" in tests else 0,
                       "decode": args.decode if batches else 0}
                turn = repetition % len(args.engines)
                results = {}
                for engine in args.engines[turn:] + args.engines[:turn]:
                    results[engine] = run_carat(args, job) if engine == "carat" else run_peer(args, engine, job)
                limits = (results.get("carat") or {}).get("limits")
                for engine, r in results.items():
                    if r is None:
                        continue
                    table.add(engine, model, "ready", threads, repetition, r["ready_seconds"], "s")
                    for name in [n for n in r if n.startswith(("prefill", "decode"))]:
                        mine = (results.get("carat") or {}).get(name)
                        share = results["carat"]["shares"][name] * r[name] / mine if mine else None
                        test = name.replace(" x1", "") if name.endswith(" x1") else name
                        if args.depth and name.startswith("decode"):
                            test += f" at {args.depth}"
                        table.add(engine, model, test, threads, repetition, r[name], "tokens/s", share, limits)
                print(f"repetition {repetition + 1}/{args.repetitions}, {os.path.basename(model)}, {threads} threads: " +
                      ", ".join(f"{e} " + ("failed" if r is None else " ".join(
                          f"{n} {r[n]:.1f}" for n in r if n.startswith(("prefill", "decode"))))
                          for e, r in results.items()), file=sys.stderr, flush=True)
    table.print()


def quantize(args):
    table = Table(args)
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        out = os.path.join(work, "out.gguf")
        for repetition in range(args.repetitions):
            for to in args.to.split(","):
                for threads in map(int, args.threads.split(",")):
                    turn = repetition % len(args.engines)
                    for engine in args.engines[turn:] + args.engines[:turn]:
                        if os.path.exists(out):
                            os.remove(out)
                        if engine == "carat":
                            done = subprocess.run([args.carat, "quantize", args.model, out, "--to", to, "--threads",
                                                   str(threads), "--json", "-q"], capture_output=True, text=True)
                            if done.returncode != 0:
                                fail(f"carat failed: {done.stderr.strip()}")
                            seconds = json.loads(done.stdout)["seconds"]
                        else:
                            job = {"what": "quantize", "model": args.model, "out": out, "threads": threads, "to": to}
                            answer = run_peer(args, engine, job)
                            if answer is None:
                                continue
                            seconds = answer["seconds"]
                        table.add(engine, args.model, f"to {to}", threads, repetition, seconds, "s")
                        print(f"repetition {repetition + 1}/{args.repetitions}, {to}, {threads} threads: {engine} "
                              f"{seconds:.1f} s", file=sys.stderr, flush=True)
    table.print()


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "worker":
        worker(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    i = verbs.add_parser("install")
    r = verbs.add_parser("run")
    r.add_argument("models", nargs="+", metavar="MODEL")
    r.add_argument("--tests", default="prefill,decode", help="of prefill, decode, batch")
    r.add_argument("--prefill", type=int, default=512)
    r.add_argument("--decode", type=int, default=128)
    r.add_argument("--depth", type=int, default=0, help="tokens in the context before decoding")
    r.add_argument("--batch", default="4,16", help="sequences at once, where batch is among the tests")
    r.add_argument("--repetitions", type=int, default=5)
    q = verbs.add_parser("quantize")
    q.add_argument("model", metavar="IN")
    q.add_argument("--to", default="Q4_K_M", help="recipes, separated by commas")
    q.add_argument("--repetitions", type=int, default=3)
    q.add_argument("--work", default=None, help="folder for the outputs (default: the system's temporary one)")
    for v in (i, r, q):
        v.add_argument("--peers", default=os.path.join(ROOT, ".peers"), help="folder of the peers' environments")
    for v in (r, q):
        v.add_argument("--threads", default=str(len(os.sched_getaffinity(0))), help="numbers, separated by commas")
        v.add_argument("--carat", default=os.path.join(ROOT, "build", "release", "bin", "carat"))
        v.add_argument("--engines", type=lambda s: s.split(","), default=["carat", *PACKAGES],
                       help="of carat, llama.cpp, ik_llama.cpp")
        v.add_argument("--csv", help="file that measurements are added to")
    args = parser.parse_args()
    args.peers = os.path.abspath(args.peers)
    {"install": install, "run": run, "quantize": quantize}[args.verb](args)


if __name__ == "__main__":
    main()
