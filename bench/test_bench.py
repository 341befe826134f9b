# SPDX-License-Identifier: BSD-2-Clause
"""What bench reads and how it judges, without measuring anything."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.dom.minidom

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import bench  # noqa: E402
import children  # noqa: E402
import cores  # noqa: E402
import counts  # noqa: E402
import dpdk_programs  # noqa: E402
import measure  # noqa: E402
import own  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import side_by_side as peers  # noqa: E402
import turns  # noqa: E402

# Names are written out once; a callee's inclusive cost follows `calls=` and is not the caller's
# own; a function without an fl= line of its own is in the file of the one before.
CALLGRIND = """\
version: 1
positions: line
events: Ir
summary: 1190

ob=(1) bench_path
fl=(1) ../bench/bench_path.c
fn=(1) main
10 100
fi=(2) ../src/base/bits.h
3 7
fe=(1)
+1 3
cob=(1)
cfi=(3) ../src/ring/split_driver.c
cfn=(2) vio_drvq_add_burst
calls=4 20
* 1000

fl=(3)
fn=(2)
20 400
fi=(2)
-17 50
fi=(4) ../src/mem/mem.h
5 30
fe=(3)
21 20

fn=(3) helper
30 80

ob=(2) /lib/libc.so.6
fl=(5) ./string/memcpy.S
fn=(4) memcpy
1 500
"""

RINGS = """\
64-byte frames, ring of 1024, bursts of 32, 1 rounds; Mpps
                                                   median      90%
driver to device                 split               40.7     41.0
driver to device, event index    packed-in-order     38.1     39.2
bare limit                                           56.0     57.5
"""


class Counting(unittest.TestCase):
    def test_own_cost_goes_to_folders(self):
        self.assertEqual(counts.parse(CALLGRIND.splitlines()),
                         {"bench": 110, "ring": 550, "mem": 30, "libc": 500})

    def test_the_record_reads_back(self):
        results = {"tx, split": {"ring": 100.0, "libc": 11.04}, "rx, split": {"device": 7.0}}
        text = counts.to_markdown(results, "clang version 14")
        self.assertEqual(counts.from_markdown(text),
                         ({"tx, split": 111.0, "rx, split": 7.0}, "clang version 14"))

    def test_growth_fails_by_name_with_both_figures(self):
        totals = {"grown": 100.0, "same": 100.0, "better": 100.0}
        results = {"grown": {"ring": 105.2}, "same": {"ring": 104.9}, "better": {"ring": 50.0}}
        self.assertEqual(counts.compare(results, totals), [
            "grown: 105.2 instructions per frame, 100.0 in the baseline: +5.2%"])
        self.assertEqual(counts.improved(results, totals), ["better"])

    def test_paths_must_be_the_same(self):
        self.assertEqual(counts.compare({"new": {"ring": 1.0}}, {"old": 2.0}),
                         ["new: not in the baseline (1.0 now)",
                          "old: in the baseline, but not counted"])

    def test_the_record_in_the_tree_has_every_path(self):
        with open(counts.BASELINE) as file:
            totals, _ = counts.from_markdown(file.read())
        self.assertEqual(set(totals), set(counts.paths()))


class Reading(unittest.TestCase):
    def test_rings(self):
        self.assertEqual(own.parse_rings(RINGS), {
            ("split", "driver to device"): 40.7,
            ("packed-in-order", "driver to device, event index"): 38.1,
            ("", "bare limit"): 56.0})

    def test_options(self):
        options = bench.parse(["--quick", "--parts", "peers,ports", "--rounds", "3"])
        self.assertEqual((options.parts, options.rounds, options.seconds),
                         (("peers", "ports"), 3, 0.2))
        self.assertEqual(options.peer_sizes, (64,))
        self.assertIsNone(options.dpdk)
        self.assertEqual(bench.parse(["--dpdk", "same-work"]).dpdk, peers.SAME_WORK)

    def test_sizes_are_measured_with_what_two_cores_can_do(self):
        with unittest.mock.patch.object(own, "two_cores", lambda what: [0, 1]):
            groups = own.size_groups(bench.parse(["--sizes", "64,1518"]))
        self.assertEqual([contender.key for group in groups for contender in group.contenders], [
            (size, name) for size in (64, 1518)
            for name in ("two-core limit", "limit, packed", *own.DIRECTIONS)])

    def test_turns_follow_rounds_and_seconds(self):
        self.assertEqual([bench.parse(words).turns for words in (
            [], ["--rounds", "10"], ["--seconds", "0.5"], ["--quick"])], [20, 40, 10, 2])


def run_groups(groups, number, starts=2):
    """Without waiting, each group started so many times at most. Returns samples and what was left
    out."""
    samples, left_out = measure.Samples(), []
    with open(os.devnull, "w") as nowhere, unittest.mock.patch.multiple(
            turns, SETTLE=0, LENGTH=0, STARTS=starts):
        turns.run_groups(groups, number, samples, left_out, measure.Progress(nowhere))
    return samples, left_out


def state_of(pid):
    """One letter, or None when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


class FakePairs:
    """Contenders of two processes that do nothing. What happens when one of them is asked is noted,
    and who was stopped then."""

    def __init__(self, names, broken=(), on_count=None):
        self.pids, self.asked, self.stopped, self.frames, self.ns = {}, [], [], 0, 0
        self.broken, self.on_count = broken, on_count
        self.group = turns.Group("fake", "pairs", [
            turns.Contender(name, (name,), lambda stack, name=name: self.start(stack, name))
            for name in names])

    def start(self, stack, name):
        self.pids[name] = [stack.enter_context(children.Child(
            "sleep", lambda _: ["sleep", "1000"])).pid for _ in range(2)]
        if name in self.broken:
            raise measure.LeftOut("no memory")
        return turns.Running(self.pids[name], lambda: self.count(name))

    def count(self, name):
        self.asked.append(name)
        self.stopped.append({other for other, pids in self.pids.items()
                             if {state_of(pid) for pid in pids} == {"T"}})
        self.frames += 1
        if self.on_count:
            self.on_count(name, self.asked.count(name))
        self.ns += 1
        return self.frames, self.ns

    def left(self):
        return [pid for pids in self.pids.values() for pid in pids if state_of(pid)]


class Turns(unittest.TestCase):
    def test_all_take_turns_in_an_order_that_alternates(self):
        fake = FakePairs("ABCD")
        samples, left_out = run_groups([fake.group], 4)
        # Each is asked twice in a turn.
        self.assertEqual("".join(fake.asked[::2]), "ABCD" "DCBA" "DCBA" "ABCD")
        self.assertEqual(fake.asked[::2], fake.asked[1::2])
        self.assertEqual({key: len(values) for key, values in samples.parts["fake"].items()},
                         {(name,): 4 for name in "ABCD"})
        self.assertEqual(left_out, [])

    def test_either_order_comes_as_often_however_the_turns_are_shared_among_the_starts(self):
        for starts, number in ((1, 6), (2, 6), (4, 6), (4, 4), (4, 2)):
            fake = FakePairs("AB")
            run_groups([fake.group], number, starts)
            order = "".join(fake.asked[::2])
            self.assertEqual([order[i:i + 2] for i in range(0, len(order), 2)].count("AB"),
                             number / 2)

    def test_only_who_has_the_turn_runs(self):
        fake = FakePairs("ABC")
        run_groups([fake.group], 2)
        for name, stopped in zip(fake.asked, fake.stopped):
            self.assertEqual(stopped, set("ABC") - {name})

    def test_one_that_fails_is_left_out_and_the_others_go_on(self):
        def fail(name, number):
            if (name, number) == ("C", 4):
                raise measure.LeftOut("no answer")

        fake = FakePairs("ABCD", broken="B", on_count=fail)
        samples, left_out = run_groups([fake.group], 4)
        self.assertEqual("".join(fake.asked[::2]), "ACD" "DCA" "DA" "AD")
        self.assertEqual({key: len(values) for key, values in samples.parts["fake"].items()},
                         {("A",): 4, ("C",): 1, ("D",): 4})
        self.assertEqual(left_out, ["fake pairs, B: no memory", "fake pairs, C: no answer"])
        self.assertEqual(fake.left(), [])

    def test_a_turn_in_which_nothing_arrives_lasts_longer(self):
        def hold(name, number):
            if number in (1, 2, 3):
                fake.frames = 7

        fake = FakePairs("A", on_count=hold)
        samples, left_out = run_groups([fake.group], 2)
        # One frame in three steps of the clock, then one in one.
        self.assertEqual(samples.parts["fake"], {("A",): [1e3 / 3, 1e3]})
        self.assertEqual((left_out, len(fake.asked)), ([], 6))

    def test_one_that_dies_or_moves_nothing_is_left_out(self):
        def harm(name, number):
            if name == "A":
                os.kill(fake.pids["A"][1], signal.SIGKILL)
            if name == "B":
                fake.frames, fake.ns = 0, fake.ns + turns.PATIENCE * 5e8

        fake = FakePairs("ABC", on_count=harm)
        samples, left_out = run_groups([fake.group], 2)
        self.assertEqual(left_out, ["fake pairs, A: the device has ended",
                                    "fake pairs, B: no frame arrived in 2 s"])
        self.assertEqual(samples.keys("fake"), [("C",)])
        self.assertEqual(fake.left(), [])

    def test_nothing_is_left_running(self):
        def interrupt(name, number):
            if (name, number) == ("B", 2):
                raise KeyboardInterrupt

        fake = FakePairs("ABC")
        run_groups([fake.group], 2)
        self.assertEqual((len(fake.pids), fake.left()), (3, []))
        fake = FakePairs("ABC", on_count=interrupt)
        with self.assertRaises(KeyboardInterrupt):
            run_groups([fake.group], 2)
        self.assertEqual((len(fake.pids), fake.left()), (3, []))

    def test_somebody_looks_after_each_round_when_all_are_stopped(self):
        fake, seen = FakePairs("AB"), []

        def look():
            seen.append((len(fake.asked), {state_of(pid) for pid in fake.left()}))

        with open(os.devnull, "w") as nowhere, unittest.mock.patch.multiple(
                turns, SETTLE=0, LENGTH=0):
            turns.run_groups([fake.group], 3, measure.Samples(), [], measure.Progress(nowhere),
                             look)
        self.assertEqual(seen, [(4, {"T"}), (8, {"T"}), (12, {"T"})])


class LooksAtCores(unittest.TestCase):
    """Another program takes the place of bench_cores."""

    def cores(self, *lines):
        build = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, build)
        os.mkdir(os.path.join(build, "bench"))
        path = os.path.join(build, "bench", "bench_cores")
        with open(path, "w") as file:
            file.write("#!/bin/sh\n%s\n" % "\n".join(lines))
        os.chmod(path, 0o755)
        return cores.Cores(build, [4, 6])

    def test_each_look_tells_of_both(self):
        with self.cores('read line && echo "$2 2.0"', 'read line && echo "3.9 $1"') as looking:
            looking.look()
            looking.look()
        self.assertEqual(looking.seen(), {"median": 3.95, "min": 2.0, "max": 6.0})
        self.assertEqual(looking.fault, "")

    def test_one_that_fails_looks_no_more(self):
        with self.cores("echo bench_cores: core 6: not there >&2") as looking:
            looking.look()
            looking.look()
        self.assertEqual((looking.seen(), looking.fault), (None, "bench_cores: core 6: not there"))

    def test_without_the_program_the_rest_goes_on(self):
        with cores.Cores("/nonexistent", [0, 1]) as looking:
            looking.look()
        self.assertEqual((looking.seen(), looking.fault),
                         (None, "bench_cores: No such file or directory"))


ASKED = """
import signal, sys, time
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
print('{"n": 1, "ns": 5}', flush=True)
while True:
    signal.sigwait([signal.SIGUSR1])
    print('{"n": 2, "ns": %d}' % time.monotonic_ns(), flush=True)
"""

STOPPED = """
import os, signal, sys, time
sys.dont_write_bytecode = True
sys.path.insert(0, %r)
import children
child = children.Child("sleep", lambda _: ["sleep", "1000"])
os.kill(child.pid, signal.SIGSTOP)
print(child.directory, child.pid, flush=True)
signal.pause()
"""


class Children(unittest.TestCase):
    def test_a_question_before_it_listens_harms_nothing_and_old_answers_are_none(self):
        with children.Child("fake", lambda _: [sys.executable, "-c", ASKED]) as child:
            asked = time.monotonic_ns()
            answer = child.ask()
        self.assertEqual(answer["n"], 2)
        self.assertGreater(answer["ns"], asked)

    def test_who_ends_is_told_with_its_last_words(self):
        with children.Child("fake", lambda _: ["sh", "-c", "echo too bad >&2"]) as child:
            with self.assertRaisesRegex(measure.LeftOut, "^fake: too bad$"):
                child.ask()

    def test_who_answers_otherwise_is_told_with_its_words(self):
        for where in (">&2; echo 7 frames", ""):
            with children.Child("fake", lambda _, where=where: [
                    "sh", "-c", "echo too bad %s; exec sleep 100" % where]) as child:
                with self.assertRaisesRegex(measure.LeftOut, "^fake says: too bad$"):
                    child.ask()

    def test_a_stopped_one_dies_with_its_parent(self):
        parent = subprocess.Popen([sys.executable, "-c", STOPPED % os.path.dirname(
            os.path.abspath(__file__))], stdout=subprocess.PIPE, text=True)
        directory, pid = parent.stdout.readline().split()
        self.addCleanup(shutil.rmtree, directory)
        parent.kill()
        parent.communicate()
        children.wait_for(lambda: state_of(int(pid)) in (None, "Z"), "its end")


class FakePeers:
    """Where only testpmd is to be had, unless more is told."""

    def __init__(self, kinds=(peers.TESTPMD,)):
        self.kinds, self.started, self.ns = kinds, [], 0

    def provide(self, dpdk):
        if dpdk not in self.kinds:
            raise measure.LeftOut("DPDK's headers: none")

    def start(self, stack, size, mode, direction, combination, dpdk):
        self.started.append((size, dpdk))
        return turns.Running((), self.count)

    def count(self):
        self.ns += 1
        return self.ns, self.ns


class Halves(unittest.TestCase):
    """Which of DPDK's halves are used, and what becomes of the rest without them."""

    OPTIONS = ("--peer-sizes", "64,65,1518", "--modes", "split", "--directions", "echo")

    def run_groups(self, fake, *options):
        groups = peers.groups_of(fake, bench.parse([*self.OPTIONS, *options]))
        samples, left_out = run_groups(groups, 1)
        self.assertEqual(len(samples.keys(peers.PART)), len(fake.started))
        return set(fake.started), left_out

    def test_frames_that_testpmd_leaves_mostly_untouched_are_for_the_same_work(self):
        self.assertEqual(self.run_groups(FakePeers(peers.DPDK)), (
            {(64, "testpmd"), (65, "same-work"), (1518, "same-work")}, []))

    def test_the_kind_can_be_chosen(self):
        for kind in peers.DPDK:
            self.assertEqual(self.run_groups(FakePeers(peers.DPDK), "--dpdk", kind),
                             ({(size, kind) for size in (64, 65, 1518)}, []))

    def test_without_headers_one_line_says_so_and_the_rest_goes_on(self):
        self.assertEqual(self.run_groups(FakePeers()), (
            {(64, "testpmd")}, ["peers 65,1518 bytes: DPDK's headers: none"]))

    def test_without_memory_for_one_more_the_reason_says_how_much_there_is(self):
        short = peers.Peers.__new__(peers.Peers)
        short.testpmd = unittest.mock.Mock(MEMORY_MIB=256, free_mib=lambda: 100)
        with self.assertRaisesRegex(measure.LeftOut, "^100 MiB .* needs 256$"):
            short._find_memory(peers.Testpmds(short.testpmd))

    def test_the_table_says_what_was_done_to_frames(self):
        samples = samples_of({})
        for kind in peers.DPDK:
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                report.peers_table(samples, {64: kind})
            for other in peers.DPDK:
                self.assertEqual(peers.WORK[other] in printed.getvalue(), other == kind)
            self.assertIn("medians of 3 turns of 0.08 s", printed.getvalue())

    def test_targets_are_named_for_the_work(self):
        found = report.half_targets(samples_of({}), {64: peers.SAME_WORK})
        self.assertEqual({"same work" in target["target"] for target in found}, {True})


class Programs(unittest.TestCase):
    """The DPDK programs that the build knows nothing of."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="vio-bench-")
        self.addCleanup(shutil.rmtree, self.directory)

    def symbols(self, *options):
        done = subprocess.run(["nm", *options, *os.listdir(self.directory)], text=True, check=True,
                              capture_output=True, cwd=self.directory)
        return set(re.findall(r" [A-Z] ((?:vio|bench)_\w+)$", done.stdout, re.M))

    def test_what_they_need_of_the_project_is_complete(self):
        compiler = dpdk_programs.compiler()
        if not shutil.which(compiler[0]) or not shutil.which("nm"):
            self.skipTest("needs a compiler and nm")
        for source in dpdk_programs.PROJECT:
            subprocess.run(compiler + [*dpdk_programs.FLAGS, "-c", source, "-o", os.path.join(
                self.directory, source.replace("/", "_") + ".o")], check=True,
                cwd=measure.ROOT)
        self.assertEqual(self.symbols("-u") - self.symbols("--defined-only"), set())

    def test_they_compile(self):
        for name in ("echo", "ends"):
            try:
                program = dpdk_programs.compile_program(name, self.directory)
            except measure.LeftOut as reason:
                if str(reason).startswith("DPDK's headers"):
                    self.skipTest(str(reason))
                raise
            self.assertTrue(os.access(program, os.X_OK))

    def test_the_first_error_is_what_is_told(self):
        self.assertEqual(dpdk_programs.first_error("In file included from x\nx.c:1: error: y\nz"),
                         "x.c:1: error: y")
        self.assertEqual(dpdk_programs.first_error("killed\n"), "killed")

    def test_two_at_a_time_do_not_share_their_files(self):
        prefixes = {dpdk_programs.command("/x/ends", 0, "port")[4] for _ in range(2)}
        self.assertEqual(len(prefixes), 2)


def samples_of(ratios):
    """Peers at 64 bytes: DPDK's pair at 10 Mpps, the rest by the ratios given."""
    samples = measure.Samples()
    for mode in peers.MODES:
        for direction in own.WAYS:
            for combination in peers.COMBINATIONS:
                for noise in (0.5, 1, 1.5):
                    samples.add(peers.PART, (64, mode, direction, combination),
                                10 * noise * ratios.get(combination, 1))
    return samples


class Judging(unittest.TestCase):
    def test_medians_and_means(self):
        samples = samples_of({"dpdk/ours": 2})
        self.assertEqual(samples.spread(peers.PART, 64, "split", "driver to device", "dpdk/ours"),
                         (20, 10, 30))
        self.assertAlmostEqual(measure.geomean([1, 4]), 2)
        self.assertIsNone(measure.geomean([]))

    def test_a_target_is_met_or_partly(self):
        self.assertEqual(report.verdict(report.at_least("", 2.1, 2)), "met")
        self.assertEqual(report.verdict(report.at_least("", 1.6, 2)), "0.80 of it")
        self.assertEqual(report.verdict(report.at_most("", 40, 64)), "met")
        self.assertEqual(report.verdict(report.at_most("", 80, 64)), "0.80 of it")

    def test_one_bad_cell_misses_the_target_of_each(self):
        samples = samples_of({"dpdk/ours": 2, "ours/dpdk": 1.1})
        key = (64, "packed", "device to driver", "dpdk/ours")
        samples.parts[peers.PART][key] = [9]
        found = {target["target"]: target for target in report.half_targets(samples, {})}
        each = found["dpdk/ours: each of 10 cells at least 1x"]
        self.assertEqual((each["worst"], each["missed"]), ("packed, device to driver", 1))
        self.assertAlmostEqual(each["reached"], 0.9)
        self.assertLess(found["ours/dpdk: geometric mean at least 1.3x"]["reached"], 1)

    def test_a_cell_that_fails_is_named_and_the_rest_goes_on(self):
        samples, left_out = measure.Samples(), []

        def broken():
            raise measure.LeftOut("no such thing")

        cells = [measure.Cell("a", "bad", broken), measure.Cell("a", "good", lambda: {(1,): 5})]
        with open(os.devnull, "w") as nowhere:
            measure.run_rounds(cells, 2, samples, left_out, measure.Progress(nowhere))
        self.assertEqual(samples.parts, {"a": {(1,): [5, 5]}})
        self.assertEqual(left_out, ["a bad: no such thing"])


class Drawing(unittest.TestCase):
    def test_the_drawing_is_sound_and_shows_all(self):
        samples = samples_of({"ours/ours": 2.5})
        samples.add(own.SIZE, (64, own.BARE), 50)
        samples.add(own.SIZE, (64, own.TO_DEVICE), 40)
        text = plot.draw(samples, {"tx, <split>": {"ring": 100.0, "device": 50.0}}, {})
        drawn = xml.dom.minidom.parseString(text)
        tips = [title.firstChild.data for title in drawn.getElementsByTagName("title")]
        self.assertIn("packed, device to driver, ours/ours: 2.50", tips)
        self.assertIn("driver to device: 20.5 Gbit/s", tips)
        self.assertIn("tx, <split>, device: 50.0", tips)

    def test_nothing_measured_nothing_drawn(self):
        self.assertIsNone(plot.draw(measure.Samples(), {}, {}))


if __name__ == "__main__":
    unittest.main()
