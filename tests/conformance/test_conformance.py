"""x509-limbo against rootlet: how many cases must agree, and that every disagreement is known and explained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from . import openssl, report, run
from .reasons import REASONS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "conformance.md"


@pytest.fixture(scope="module")
def cases() -> Path:
    path = Path(os.environ.get("LIMBO") or REPOSITORY / "../shared/conformance/limbo.json")
    if not path.is_file():
        pytest.skip("x509-limbo's cases are not here: set LIMBO=/path/to/limbo.json")
    return path


@pytest.fixture(scope="module")
def results(cases: Path) -> list[run.Result]:
    return run.run(run.load(cases))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("policy", "agree"), [("default", 141), ("webpki", 168)])
def test_as_many_cases_agree_as_ever(results: list[run.Result], policy: str, agree: int) -> None:
    if len(results) == 2 * 184:
        assert report.count(results)[policy][0] >= agree


def test_every_disagreement_is_explained_and_nothing_else(results: list[run.Result]) -> None:
    unexplained = [
        (result.policy, result.id) for result in results if not result.agrees and not report.reason_for(result)
    ]
    assert not unexplained
    disagreeing = {(result.policy, result.id) for result in results if not result.agrees}
    explained = {(policy, id_) for _, _, policies, ids in REASONS for policy in policies for id_ in ids}
    assert explained - disagreeing == set(), "these agree now: remove them from reasons.py"


def test_under_webpki_nothing_is_accepted_that_a_callback_could_refuse(results: list[run.Result]) -> None:
    # The suite wants this chain refused in one case and accepted in another.
    contradicted = {"rfc5280::nc::permitted-dns-match-noncritical"}
    accepted = {
        result.id
        for result in results
        if result.policy == "webpki" and result.actual == "SUCCESS" and not result.agrees
    }
    assert accepted == contradicted


def test_by_default_only_rules_that_others_do_not_enforce_are_left_out(results: list[run.Result]) -> None:
    webpki = {result.id for result in results if result.policy == "webpki" and result.actual == "FAILURE"}
    accepted = {result.id for result in results if result.policy == "default" and not result.agrees} & {
        result.id for result in results if result.policy == "default" and result.actual == "SUCCESS"
    }
    assert accepted - webpki == {"rfc5280::nc::permitted-dns-match-noncritical"}


# The suite wants these accepted. OpenSSL looks for the issuer of a root whose key identifiers do not fit, and takes a
# certificate's last second for over.
OPENSSL_IS_STRICTER = {
    "cve::cve-2024-0567",
    "rfc5280::root-and-intermediate-swapped",
    "rfc5280::validity::notafter-exact",
    "rfc5280::validity::notafter-fractional",
}


def test_by_default_nothing_is_accepted_that_openssl_refuses(results: list[run.Result], cases: Path) -> None:
    accepted = {result.id for result in results if result.policy == "default" and result.actual == "SUCCESS"}
    refused = {case["id"] for case in run.load(cases) if case["id"] in accepted and not openssl.accepts(case)}
    roots = next(set(ids) for title, _, _, ids in REASONS if title == "Key identifiers of a root")
    assert refused <= OPENSSL_IS_STRICTER | roots


def test_what_the_default_refuses_webpki_refuses(results: list[run.Result]) -> None:
    refused = {
        policy: {result.id for result in results if result.policy == policy and result.actual == "FAILURE"}
        for policy in run.POLICIES
    }
    assert refused["default"] <= refused["webpki"]


def test_the_page_of_documentation_is_the_current_one(results: list[run.Result], cases: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    if report.digest(cases) not in page:
        pytest.skip("docs/conformance.md was made from another limbo.json")
    assert page == report.page(results, cases), "run `make conformance LIMBO=…`"


def test_every_case_without_its_key_was_shown_by_hand(results: list[run.Result]) -> None:
    assert {result.presented for result in results} == {"openssl", "flight"}
