// What forms and pages can do without, and are nicer with. Each works on elements that are there, and does nothing where they are not.

// Columns are put into the text that was typed in last, and each text counts its characters.
const texts = [...document.querySelectorAll(".texts>input")];
let last = texts[0];
for (const chips of document.querySelectorAll(".chips")) {
  chips.hidden = false;
  chips.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-text]");
    if (!chip || !last) return;
    last.setRangeText(chip.dataset.text, last.selectionStart, last.selectionEnd, "end");
    last.dispatchEvent(new Event("input"));
    last.focus();
  });
}
for (const text of texts) {
  text.addEventListener("focus", () => (last = text));
  const count = text.nextElementSibling?.querySelector(".count");
  if (!count) continue;
  // What stands between braces is filled in later: the check counts it, row by row.
  const say = () => (count.textContent = text.value.includes("{{") ? "" : `${[...text.value].length} / ${text.dataset.most} · `);
  text.addEventListener("input", say);
  say();
}

// A file may be dropped onto its input's frame.
for (const place of document.querySelectorAll(".drop")) {
  const input = place.querySelector("input[type=file]");
  const over = (event, is) => {
    event.preventDefault();
    place.classList.toggle("over", is);
  };
  place.addEventListener("dragover", (event) => over(event, true));
  place.addEventListener("dragleave", (event) => over(event, false));
  place.addEventListener("drop", (event) => {
    over(event, false);
    input.files = event.dataTransfer.files;
  });
}

// A form is sent once, and says that it is on its way.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", () => {
    setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
    form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("[aria-busy] button").forEach((button) => (button.disabled = false));
});

// A large file tells how much of it is there.
const LARGE = 1 << 20;
for (const form of document.querySelectorAll("form[enctype='multipart/form-data']")) {
  form.addEventListener("submit", (event) => {
    const files = [...form.querySelectorAll("input[type=file]")].flatMap((input) => [...input.files]);
    if (files.reduce((sum, file) => sum + file.size, 0) < LARGE) return;
    event.preventDefault();
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    const bar = document.createElement("progress");
    bar.max = 100;
    bar.setAttribute("aria-label", document.body.dataset.uploading);
    said.append(document.body.dataset.uploading, " ", bar);
    form.append(said);
    const request = new XMLHttpRequest();
    request.upload.addEventListener("progress", ({ loaded, total }) => (bar.value = (100 * loaded) / total));
    request.addEventListener("load", () => {
      const led = new URL(request.responseURL);
      if (led.pathname !== new URL(form.action).pathname) return location.assign(led);
      document.open();
      document.write(request.responseText);
      document.close();
    });
    // Whatever went wrong: the browser sends it again, and shows what comes.
    request.addEventListener("error", () => form.submit());
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
}

// What is asked before something is done is asked above the page.
for (const link of document.querySelectorAll("a.asks")) {
  link.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const answer = await fetch(link.href);
    if (!answer.ok || answer.redirected) return location.assign(link.href);
    const asked = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const dialog = document.createElement("dialog");
    dialog.append(...asked.childNodes);
    const title = dialog.querySelector("h1");
    title.id = "asked";
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.querySelector(".back")?.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      link.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// How far the check of a large table is.
const progress = document.querySelector("[data-progress]");
if (progress) {
  const source = new EventSource(progress.dataset.progress);
  const next = () => location.replace(progress.dataset.next);
  source.addEventListener("progress", (event) => (progress.textContent = event.data));
  source.addEventListener("done", next);
  source.onerror = next;
}

// Numbers that change while they are looked at. The page's own address sends them, a second each, until it is hidden or its end.
const live = document.querySelector("[data-live]");
if (live) {
  const state = document.querySelector(".live-state");
  const words = live.dataset;
  let source;
  let heard = 0;
  const say = (text) => state.textContent !== text && (state.textContent = text);
  const begin = () => {
    source = new EventSource(words.live);
    const show = (event) => {
      heard = Date.now();
      const open = live.querySelector("details")?.open;
      // Every text in it was escaped where it was written.
      live.innerHTML = event.data;
      if (open) live.querySelector("details")?.setAttribute("open", "");
      say(words.on);
    };
    source.addEventListener("numbers", show);
    source.addEventListener("last", (event) => {
      show(event);
      end(words.over);
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) end(words.off);
      else say(words.off);
    };
  };
  const end = (text) => {
    source?.close();
    source = undefined;
    say(text);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) end(words.off);
    else if (!source) begin();
  });
  setInterval(() => source && heard && Date.now() - heard > 5000 && say(words.off), 1000);
  if (!document.hidden) begin();
}
