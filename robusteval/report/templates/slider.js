(function () {
  "use strict";
  const R = window.robustevalPage;
  const source = document.getElementById("page-data");
  if (!source) { return; }
  R.data = JSON.parse(source.textContent);
  R.budget = {}; // by norm: where its slider stands

  function write(element, values) {
    const first = [...element.childNodes].find((node) => node.nodeType === Node.TEXT_NODE);
    if (first) { first.nodeValue = values[0]; } else { element.prepend(values[0]); }
    const below = element.querySelector(":scope > .below");
    if (below) {
      below.textContent = values[1] || "";
    } else if (values[1] && element.matches("td")) {
      const made = document.createElement("span");
      made.className = "below";
      made.textContent = values[1];
      element.append(made);
    }
    const card = values.length > 2 && element.closest(".card");
    if (card) {
      card.querySelector(".meter-fill").setAttribute("width", (100 * values[2]).toFixed(1));
      card.querySelector(".card-range").textContent = values[1];
    }
  }

  function setStop(norm, stop) {
    const known = R.data.norms[norm];
    R.budget[norm] = known.stops[stop];
    document.querySelectorAll("[data-live]").forEach(function (element) {
      const [of, key] = element.dataset.live.split(" ");
      if (of === norm && known.live[key]) { write(element, known.live[key][stop]); }
    });
    document.querySelectorAll(`input[type=range][data-norm="${CSS.escape(norm)}"]`).forEach(function (input) {
      input.value = stop;
      input.setAttribute("aria-valuetext", known.texts[stop]);
      const slider = input.closest(".slider");
      slider.querySelector(".now").textContent = known.texts[stop];
      slider.querySelector(".reset").hidden = stop === known.start;
    });
    R.setChart("hero-" + norm, "eps", known.stops[stop]);
    if (R.budgetChanged) { R.budgetChanged(); }
  }

  Object.keys(R.data.norms).forEach((norm) => setStop(norm, R.data.norms[norm].start));
  document.querySelectorAll(".slider").forEach(function (slider) {
    const input = slider.querySelector("input");
    const norm = input.dataset.norm;
    input.addEventListener("input", () => setStop(norm, Number(input.value)));
    slider.querySelector(".reset").addEventListener("click", () => setStop(norm, R.data.norms[norm].start));
  });

  // tabs: one norm at a time, arrow keys between them
  const tabs = [...document.querySelectorAll("[role=tab]")];
  function choose(tab) {
    tabs.forEach(function (other) {
      const mine = other === tab;
      const panel = document.getElementById(other.getAttribute("aria-controls"));
      other.setAttribute("aria-selected", String(mine));
      other.tabIndex = mine ? 0 : -1;
      panel.classList.toggle("open", mine);
      if (mine) { R.drawNew(panel); }
    });
  }
  tabs.forEach(function (tab, index) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", function (event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step ? tabs[(index + step + tabs.length) % tabs.length]
        : event.key === "Home" ? tabs[0] : event.key === "End" ? tabs[tabs.length - 1] : null;
      if (next) { event.preventDefault(); choose(next); next.focus(); }
    });
  });

  // what is coloured in a chart
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  function light(panel, norm) {
    const lit = [...panel.querySelectorAll("button[data-light]")];
    const names = lit.filter(pressed).map((button) => button.value);
    panel.querySelectorAll("button[data-every]").forEach((button) => press(button, names.length === lit.length));
    R.setChart("hero-" + norm, "lit", names);
  }
  document.querySelectorAll(".panel").forEach(function (panel) {
    const norm = panel.dataset.norm;
    panel.addEventListener("click", function (event) {
      const button = event.target.closest("button.key");
      if (!button) { return; }
      const on = !pressed(button);
      press(button, on);
      if (button.dataset.every) { panel.querySelectorAll("button[data-light]").forEach((other) => press(other, on)); }
      if (button.dataset.known) {
        panel.classList.toggle("with-known", on);
        R.setChart("hero-" + norm, "known", on);
      } else {
        light(panel, norm);
      }
    });
  });
})();
