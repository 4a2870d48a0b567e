"""The page at / in Debian's Chromium: each thing that a person does once. Screenshots lie beside the servers' logs."""

import base64
import re

import pytest
from playwright.sync_api import expect, sync_playwright

from helpers import NAME, encoded, picture
from server import STATE, url_of

ROOT_URL = url_of(NAME).removesuffix("v1")
ANSWERED_MS = 60_000
expect.set_options(timeout=30_000)  # other tests may have the cores


@pytest.fixture
def browser():
    with sync_playwright() as play:
        # Root needs --no-sandbox; nothing but our own page is opened.
        found = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield found
        found.close()


def open_page(browser, address=ROOT_URL, model="nano-uhd", **context):
    """The page, which must not ask for anything of another host nor complain."""
    page = browser.new_context(**context).new_page()
    page.seen = []
    page.root = address
    page.on("request", lambda request: page.seen.append(request.url))
    page.on("console", lambda line: page.seen.append(f"{line.type}: {line.text}") if line.type == "error" else None)
    page.on("pageerror", lambda error: page.seen.append(f"error: {error}"))
    page.goto(address)
    expect(page.locator("#model")).to_contain_text(model)
    return page


def strangers(page):
    return [seen for seen in page.seen if not seen.startswith((page.root, "blob:", "data:"))]


def shoot(page, name):
    page.screenshot(path=STATE / f"page-{name}.png", full_page=True)


def test_a_sample_is_cut_asked_about_and_kept(browser):
    page = open_page(browser)
    page.get_by_role("button", name="“What is the number?”").click()
    card = page.locator(".picture")
    expect(card).to_contain_text("672×1008: 6 slices in a grid of 2 × 3")
    expect(card.locator(".slices .view")).to_have_count(6)
    expect(card.locator(".overview .view")).to_have_count(1)
    shoot(page, "sample")

    card.locator(".slices .view").nth(4).click()
    expect(page.locator("dialog")).to_contain_text("slice 5: 336×336 pixels, 64 tokens")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)

    expect(page.locator("#text")).to_have_value("What is the number?")
    page.locator("#text").press("Enter")
    turn = page.locator(".turn")
    expect(turn.locator(".answer")).to_have_text("1155", timeout=ANSWERED_MS)
    expect(turn.locator(".legend")).to_contain_text("read the prompt")
    timeline = turn.locator(".timeline")
    # The server may know the sample from another test.
    expect(timeline.locator("i.encode, i.kept")).to_have_count(7)
    expect(timeline.locator("i.preprocess")).to_have_count(1)
    expect(timeline.locator("i.prefill")).not_to_have_count(0)
    expect(timeline.locator("i.decode")).not_to_have_count(0)
    expect(timeline.locator("i.encode, i.kept").last).to_have_attribute("title", re.compile(r"^(slice \d|overview): (encoded|kept from before), "))
    expect(timeline).to_have_attribute("aria-label", re.compile("(?=.*slice 6: (encoded|kept from before))(?=.*prompt read)(?=.*answer written)"))
    expect(turn.locator(".notes")).to_contain_text("First token after")
    expect(page.locator(".picture")).to_have_count(0)

    page.locator("#text").fill("What is the number?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(turn.nth(1).locator(".notes")).to_contain_text("7 of 7 views kept from before", timeout=ANSWERED_MS)
    expect(turn.nth(1).locator(".notes")).to_contain_text(re.compile(r"\([1-9]\d* kept from before\)"))
    expect(turn.nth(1).locator(".timeline i.kept")).to_have_count(7)
    shoot(page, "answer")

    page.get_by_role("button", name="New conversation").click()
    expect(turn).to_have_count(0)
    assert strangers(page) == []


def test_detail_and_slices_are_shown_before_anything_is_sent(browser):
    page = open_page(browser)
    page.locator("#file").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": encoded(picture(900, 500))})
    card = page.locator(".picture")
    expect(card).to_contain_text("mine.png")
    expect(card).to_contain_text("pixels become one")
    slices = card.locator(".slices .view")
    assert slices.count() > 1
    page.locator("#slices").fill("2")
    page.locator("#slices").press("Tab")
    expect(slices).to_have_count(2)
    page.locator("#detail").select_option("low")
    expect(card).to_contain_text("the overview alone")
    expect(slices).to_have_count(0)
    card.get_by_text("What detail changes").click()
    expect(card.locator("tr.chosen")).to_contain_text("low")
    card.get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    assert not [seen for seen in page.seen if seen.endswith("chat/completions")]


def test_pasting_dropping_and_keys(browser):
    page = open_page(browser)
    carry = """([name, kind, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "carried.png", {type: "image/png"}));
      const options = {bubbles: true, cancelable: true, [kind]: data};
      document.dispatchEvent(name === "paste" ? new ClipboardEvent(name, options) : new DragEvent(name, options));
    }"""
    bytes_ = base64.b64encode(encoded(picture(400, 300))).decode()
    page.evaluate(carry, ["paste", "clipboardData", bytes_])
    expect(page.locator(".picture")).to_have_count(1)
    page.evaluate(carry, ["drop", "dataTransfer", bytes_])
    expect(page.locator(".picture")).to_have_count(2)

    # What cannot be answered says why, and the question is still there.
    long = " ".join(["How long is it?"] * 2000)
    page.locator("#text").fill(long)
    page.locator("#text").press("Enter")
    expect(page.locator("#problem")).to_contain_text("4096", timeout=ANSWERED_MS)
    page.wait_for_function("document.getElementById('text').value !== ''")
    assert page.locator("#text").input_value() == long
    expect(page.locator(".picture")).to_have_count(2)

    page.locator("#tab-ask").press("ArrowRight")
    expect(page.locator("#tab-server")).to_be_focused()
    expect(page.locator("#readiness")).to_have_text("The server is ready.")
    expect(page.locator(".card")).to_have_count(6)
    expect(page.locator("#ranks tr")).to_have_text([re.compile("LLM 0 *leader, the language model, the encoder *answers")])
    expect(page.locator("#caches tr")).to_have_count(2)
    expect(page.locator("#latency tr")).to_have_count(6)
    shoot(page, "server")
    assert [seen for seen in strangers(page) if "status of 400" not in seen] == []


def test_a_phone_in_the_dark_behind_a_prefix(browser):
    behind = "http://proxy.localhost/some/where/"
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark", has_touch=True)
    page = context.new_page()
    page.route("http://proxy.localhost/**", lambda route: route.fulfill(
        response=route.fetch(url=route.request.url.replace(behind, ROOT_URL), headers={"content-type": "application/json"})))
    page.goto(behind)
    page.get_by_role("button", name="“What is the number?”").tap()
    expect(page.locator(".slices .view")).to_have_count(6)
    page.get_by_role("button", name="Ask", exact=True).tap()
    expect(page.locator(".answer")).to_have_text("1155", timeout=ANSWERED_MS)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 24)"
    shoot(page, "phone")


def test_ranks_work_and_are_seen_at_work(browser):
    root = url_of("mpi").removesuffix("v1")
    page = open_page(browser, root, model="uhd-v1-tiny")
    page.locator("#file").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": encoded(picture(700, 500, seed=77))})
    slices = page.locator(".slices .view")
    expect(slices).not_to_have_count(0)
    pieces = slices.count() + 1
    page.locator("#tokens").fill("100")
    # Which comes first: the picture of what happens, or the end of it?
    page.evaluate("""() => {
      window.order = [];
      const note = (name, there) => { if (there && !order.includes(name)) order.push(name); };
      new MutationObserver(() => {
        note("drawn", document.querySelector(".timeline .encode"));
        note("ended", document.querySelector(".legend"));
      }).observe(document.getElementById("conversation"), {childList: true, subtree: true});
    }""")
    page.get_by_role("button", name="Ask", exact=True).click()
    timeline = page.locator(".timeline")
    expect(page.locator(".notes")).to_contain_text("First token after", timeout=ANSWERED_MS)
    assert page.evaluate("order") == ["drawn", "ended"]
    expect(timeline.locator("i.encode")).to_have_count(pieces)
    expect(timeline.locator("i.transfer")).to_have_count(pieces)
    expect(timeline.locator(".lane").filter(has_text="encoder")).to_have_count(2)

    page.locator("#tab-server").click()
    ranks = page.locator("#ranks tr")
    expect(ranks).to_have_count(4)
    expect(ranks.nth(0)).to_contain_text("leader, part 1 of 2 of the language model")
    expect(ranks.nth(1)).to_contain_text("part 2 of 2 of the language model")
    for row in (ranks.nth(2), ranks.nth(3)):
        expect(row).to_contain_text(re.compile(r"encoder \d+encodes slicesat work0 slices[\d. kM]+ patches/s[1-9]"))
    first_token = page.locator("#latency tr").filter(has_text="first token").locator("td")
    expect(first_token.nth(1)).not_to_have_text("0")
    expect(first_token.nth(2)).to_contain_text("s")
    page.locator("#window").select_option("start")
    expect(first_token.nth(3)).to_contain_text("s")
    shoot(page, "ranks")
    assert strangers(page) == []


def test_what_fails_is_told_and_leads_on(browser):
    page = open_page(browser)
    # A picture that the server refuses keeps its card, which says why and removes it.
    small = {"name": "small.png", "mimeType": "image/png", "buffer": encoded(picture(300, 200))}
    wide = {"name": "wide.png", "mimeType": "image/png", "buffer": encoded(picture(301, 200))}
    refuse = lambda route: (  # noqa: E731
        route.fulfill(status=400, content_type="application/json", body='{"error": {"message": "Too wide."}}')
        if '"width":301' in route.request.post_data else route.continue_())
    page.route("**/v1/plan", refuse)
    page.locator("#file").set_input_files([wide, small])
    cards = page.locator(".picture")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("wide.png")
    expect(cards.nth(0)).to_contain_text("Too wide.")
    expect(cards.nth(1)).to_contain_text("300×200")
    cards.nth(0).get_by_role("button", name="Remove").click()
    expect(cards).to_have_count(1)

    # Half an answer is none.
    half = 'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
    page.route("**/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=half))
    page.locator("#text").fill("What is this?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#problem")).to_have_text("The answer ended early.")
    expect(page.locator("#text")).to_have_value("What is this?")
    expect(page.locator(".turn")).to_have_count(0)
    expect(cards).to_have_count(1)
    expect(page.locator("#problem")).to_have_text("The answer ended early.")


def test_looks_are_seldom_while_they_fail_and_one_at_a_time(browser):
    context = browser.new_context()
    page = context.new_page()
    asked, held = [], []
    page.route("**/ready", lambda route: (asked.append(route), route.abort()))
    page.goto(ROOT_URL)
    page.wait_for_timeout(4000)
    assert len(asked) == 1
    page.unroute("**/ready")
    page.route("**/ready", lambda route: held.append(route))  # unanswered
    page.locator("#tab-server").click()
    page.wait_for_timeout(3000)
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#readiness")).to_have_text("The server is ready.")
