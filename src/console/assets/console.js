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
