"""Opens a page in a real Chromium without a window."""
import json
import re
import shutil
import struct
import subprocess

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "headless_shell"))), None)

# Put at the end of the page: what the browser made of it, as JSON in an element.
PROBE = """<script>
window.addEventListener("load", () => {
  const images = [...document.images], bars = [...document.querySelectorAll("svg rect")];
  const result = {
    images: images.length,
    broken: images.filter(i => !i.complete || i.naturalWidth === 0).length,
    distorted: images.filter(i => Math.abs(i.clientWidth / i.clientHeight - i.naturalWidth / i.naturalHeight) > 0.05).length,
    charts: document.querySelectorAll("svg").length,
    bars: bars.filter(b => b.getBoundingClientRect().height > 1).length,
    sections: [...document.querySelectorAll("h2")].map(h => h.textContent),
    captions: [...document.querySelectorAll("figcaption")].map(c => c.textContent),
    problems: document.querySelectorAll(".finding.problem").length,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    requests: performance.getEntriesByType("resource").filter(r => !r.name.startsWith("data:")).map(r => r.name),
  };
  const element = document.createElement("pre");
  element.id = "probe";
  element.textContent = JSON.stringify(result);
  document.body.append(element);
});
</script>"""


def run(work, *words):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
               f"--user-data-dir={work / 'chromium'}", *map(str, words)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def probe(page, work):
    """What the browser made of the page; see PROBE."""
    probed = work / "probed.html"
    probed.write_text(page.read_text().replace("</body>", PROBE + "</body>"))
    dom = run(work, "--window-size=1200,900", "--dump-dom", probed.as_uri())
    return json.loads(re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)[1])


def screenshot(page, picture, work, height=2600):
    """A PNG of the page, 1200 px wide; returns its width and height."""
    run(work, f"--window-size=1200,{height}", f"--screenshot={picture}", page.as_uri())
    return struct.unpack(">II", picture.read_bytes()[16:24])
