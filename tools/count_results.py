#!/usr/bin/env python3
"""Adds up the results of one ctest run: prints "PASSED FAILED SKIPPED".

    tools/count_results.py CTEST_JUNIT.xml GTEST_XML_DIRECTORY

A GoogleTest program counts as many tests as it holds (its XML file lies in the directory under its name), a Python
unittest likewise (its "Ran N tests" line), everything else as one. A program that crashed has no XML: one failure.
"""
import os
import re
import sys
import xml.etree.ElementTree as xml


def gtest_counts(path):
    failed = skipped = total = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.get("status") == "notrun":
            continue
        total += 1
        if case.find("failure") is not None:
            failed += 1
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            skipped += 1
    return total - failed - skipped, failed, skipped


def unittest_counts(output):
    ran = re.search(r"^Ran (\d+) tests? in", output, re.M)
    if ran is None:
        return None
    outcome = re.findall(r"(failures|errors|skipped)=(\d+)", output[ran.end():])
    numbers = {kind: int(n) for kind, n in outcome}
    failed, skipped = numbers.get("failures", 0) + numbers.get("errors", 0), numbers.get("skipped", 0)
    return int(ran.group(1)) - failed - skipped, failed, skipped


def main():
    junit, directory = sys.argv[1:]
    total = [0, 0, 0]
    for case in xml.parse(junit).getroot().iter("testcase"):
        bad = case.get("status") != "run"
        path = os.path.join(directory, case.get("name") + ".xml")
        if os.path.exists(path):
            counts = gtest_counts(path)
        else:
            counts = unittest_counts(case.findtext("system-out") or "") or ((0, 1, 0) if bad else (1, 0, 0))
        if bad and counts[1] == 0:  # it failed without saying which test did
            counts = (counts[0], 1, counts[2])
        total = [a + b for a, b in zip(total, counts)]
    print(*total)


if __name__ == "__main__":
    main()
