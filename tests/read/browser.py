"""Shows pages in a headless Chromium and says what became of them.

The path of a page a line comes in, and one JSON object a line goes out: the texts of its elements, its tags, and whatever it
did beyond showing text: dialogs, requests, lines of the console. The browser is spoken to over two pipes, which needs no
package and no port.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

TEXTS = """(() => {
  const nodes = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (nodes.nextNode()) texts.push(nodes.currentNode.data);
  const tags = [...document.querySelectorAll("*")].map(element => element.localName);
  return { texts, tags, title: document.title };
})()"""


class Browser:
    def __init__(self, program, folder):
        # Chromium reads commands from descriptor 3 and writes to 4.
        (theirs_in, self.out), (self.into, theirs_out) = os.pipe(), os.pipe()

        def three_and_four():
            high = [os.dup(theirs_in), os.dup(theirs_out)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}",
             "--remote-debugging-pipe"],
            preexec_fn=three_and_four, close_fds=False, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.last, self.rest, self.seen = 0, b"", []

    def message(self):
        while b"\0" not in self.rest:
            read = os.read(self.into, 1 << 20)
            if not read:
                raise SystemExit("the browser ended")
            self.rest += read
        one, self.rest = self.rest.split(b"\0", 1)
        one = json.loads(one)
        if "method" in one:
            self.seen.append(one)
            if one["method"] == "Page.javascriptDialogOpening":
                self.send("Page.handleJavaScriptDialog", {"accept": False}, one.get("sessionId"))
        return one

    def send(self, method, params=None, session=None):
        self.last += 1
        asked = {"id": self.last, "method": method, "params": params or {}}
        if session:
            asked["sessionId"] = session
        os.write(self.out, json.dumps(asked).encode() + b"\0")
        return self.last

    def ask(self, method, params=None, session=None):
        number = self.send(method, params, session)
        while True:
            answer = self.message()
            if answer.get("id") == number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]

    def wait(self, method):
        while not any(one["method"] == method for one in self.seen):
            self.message()

    def show(self, path):
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable", session=session)
        self.seen = []
        address = pathlib.Path(path).resolve().as_uri()
        self.ask("Page.navigate", {"url": address}, session)
        self.wait("Page.loadEventFired")
        found = self.ask("Runtime.evaluate", {"expression": TEXTS, "returnByValue": True}, session)["result"]["value"]
        seen, self.seen = self.seen, []
        self.ask("Target.closeTarget", {"targetId": target})

        def told(method, what):
            return [what(one["params"]) for one in seen if one["method"] == method]

        requests = told("Network.requestWillBeSent", lambda params: params["request"]["url"])
        return {
            "dialogs": told("Page.javascriptDialogOpening", lambda params: params["message"]),
            "requests": [url for url in requests if url != address],
            "console": told("Runtime.consoleAPICalled", lambda params: str(params["args"]))
            + told("Runtime.exceptionThrown", lambda params: str(params["exceptionDetails"]))
            + told("Log.entryAdded", lambda params: params["entry"]["text"]),
            **found,
        }


with tempfile.TemporaryDirectory() as folder:
    browser = Browser(sys.argv[1], folder)
    for line in sys.stdin:
        print(json.dumps(browser.show(line.rstrip("\n"))), flush=True)
    browser.send("Browser.close")
    browser.process.wait()
