(function () {
  "use strict";
  const R = window.robustevalPage;
  const gallery = document.getElementById("gallery");
  if (!gallery || !R.data) { return; }
  const shots = [...gallery.querySelectorAll(".shot")];
  const said = document.getElementById("gallery-said");
  const every = document.getElementById("gallery-all");
  const ROUNDING = 1 + 1e-6;
  const some = { fits: (shot) => shot.dataset.later === undefined }; // a few of each norm
  let wanted = some; // {fits, said} of the pictures asked for; null: all

  const distance = (shot) => Number(shot.dataset.distance);
  const within = (shot) => !(distance(shot) > R.budget[shot.dataset.norm] * ROUNDING);

  function show() {
    let found = 0;
    shots.forEach(function (shot) {
      shot.hidden = Boolean(wanted) && !wanted.fits(shot);
      found += !shot.hidden;
      shot.classList.toggle("beyond", !within(shot));
    });
    every.hidden = found === shots.length;
    said.textContent = !wanted || wanted === some
      ? R.say("within", shots.filter(within).length, shots.length) + (every.hidden ? "" : " " + R.say("some", found, shots.length))
      : found ? wanted.said + ": " + R.say("pictures", found, shots.length) : wanted.said + ". " + R.words.none;
  }
  R.budgetChanged = show;

  function ask(what) {
    wanted = what;
    show();
    const head = gallery.querySelector("h2");
    head.tabIndex = -1;
    head.focus({ preventScroll: true });
    gallery.scrollIntoView();
  }
  every.addEventListener("click", function () { wanted = null; show(); });

  R.showTaken = function (norm, line, x) {
    ask({
      fits: (shot) => shot.dataset.norm === norm && distance(shot) <= x * ROUNDING,
      said: R.say("upTo", line, Number(x.toPrecision(3)))
    });
  };
  document.querySelectorAll("button.shows").forEach(function (button) {
    button.addEventListener("click", function () {
      const [norm, kind, value] = button.dataset.shows.split(" ");
      const name = button.parentElement.firstChild.textContent.trim();
      ask({
        fits: (shot) => shot.dataset.norm === norm && shot.dataset[kind] === value,
        said: R.say({ cell: "attack", class: "class", sample: "image" }[kind], name)
      });
    });
  });

  // from clean to adversarial: the one over the other, cut where the handle stands
  shots.forEach(function (shot) {
    const pictures = shot.querySelectorAll(".pic");
    const [clean, adversarial] = [pictures[0].querySelector("img"), pictures[2].querySelector("img")];
    const handle = shot.querySelector(".wipe input");
    if (!clean || !adversarial) { handle.closest(".wipe").remove(); return; }
    const box = document.createElement("div");
    box.className = "over";
    adversarial.replaceWith(box);
    const under = clean.cloneNode();
    under.alt = "";
    box.append(under, adversarial);
    const cut = () => { adversarial.style.clipPath = `inset(0 ${100 - handle.value}% 0 0)`; };
    handle.addEventListener("input", cut);
    cut();
  });

  // marks: kept in the page, and by the browser where it keeps anything for files
  const record = document.querySelector("meta[name=robusteval-record]").content;
  const store = "robusteval-marks-" + record;
  const boxes = [...gallery.querySelectorAll(".mark input")];
  const output = document.getElementById("marks-said");
  const exports = document.getElementById("marks-export");
  const clear = document.getElementById("marks-clear");
  const chosen = () => boxes.filter((box) => box.checked).map((box) => Number(box.value));
  function changed() {
    const now = chosen();
    output.textContent = R.say("marked", now.length);
    exports.disabled = clear.disabled = !now.length;
    try { localStorage.setItem(store, JSON.stringify(now)); } catch (_) { /* none is kept for this page */ }
  }
  try {
    const kept = JSON.parse(localStorage.getItem(store) || "[]");
    boxes.forEach((box) => { box.checked = Array.isArray(kept) && kept.includes(Number(box.value)); });
  } catch (_) { /* the same */ }
  boxes.forEach((box) => box.addEventListener("change", changed));
  clear.addEventListener("click", function () { boxes.forEach((box) => { box.checked = false; }); changed(); });
  exports.addEventListener("click", function () {
    const marks = chosen().map((index) => R.data.shots[index]);
    const text = JSON.stringify({ schema: "robusteval-marks-1", record: record, marks: marks }, null, 1) + "\n";
    const link = document.createElement("a");
    link.href = "data:application/json;charset=utf-8," + encodeURIComponent(text);
    link.download = "marks.json";
    link.click();
  });
  show();
  changed();
})();
