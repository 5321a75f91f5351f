(function () {
  "use strict";
  const R = window.robustevalPage;
  const FEW = 10;

  // what a cell is sorted by: a number where it begins with one, and what is missing comes last
  function key(cell) {
    const text = cell ? [...cell.childNodes].filter((node) => !(node.matches && node.matches(".below, .shows"))).map((node) => node.textContent).join("").trim() : "";
    const time = /^(?:(\d+) h )?(\d+) min(?: (\d+) s)?$/.exec(text);
    if (time) { return 3600 * Number(time[1] || 0) + 60 * Number(time[2]) + Number(time[3] || 0); }
    const plain = text.replace(/[\u202f,](?=\d{3})/g, "").replace(/^[\u2264\u2265\u00d7]\s*/, "");
    const part = /^([-+]?\d*\.?\d+(?:e[-+]?\d+)?)(?:\/(\d+))?(?![\w.])/i.exec(plain);
    if (part) { return part[2] ? Number(part[1]) / Number(part[2]) : Number(part[1]); }
    return text === "\u2013" || text === "" ? null : text.toLowerCase();
  }

  function compare(a, b) {
    if (a === null || b === null) { return a === b ? 0 : a === null ? 2 : -2; }
    if (typeof a !== typeof b) { return typeof a === "number" ? -1 : 1; }
    return typeof a === "number" ? a - b : a.localeCompare(b, "en");
  }

  function sortable(table, again) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach(function (head, column) {
      const name = head.querySelector(".name");
      if (!name.textContent.trim()) { return; } // a button has to have a name
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      name.replaceWith(button);
      button.append(name);
      button.addEventListener("click", function () {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const keyed = [...body.rows].map((row) => [key(row.cells[column]), row]);
        keyed.sort(function (a, b) {
          const order = compare(a[0], b[0]);
          return Math.abs(order) === 2 && (a[0] === null || b[0] === null) ? order : up ? order : -order;
        });
        body.append(...keyed.map((pair) => pair[1]));
        again();
      });
    });
  }

  function long(card, table) {
    const body = table.tBodies[0];
    const count = body.rows.length;
    if (count <= FEW) { return () => {}; }
    const tools = document.createElement("div");
    tools.className = "table-tools";
    const filter = document.createElement("input");
    filter.type = "search";
    filter.placeholder = R.words.filter;
    filter.setAttribute("aria-label", R.say("filterOf", table.getAttribute("aria-label")));
    const said = document.createElement("span");
    said.className = "note";
    said.setAttribute("aria-live", "polite");
    const more = document.createElement("button");
    more.type = "button";
    more.className = "quiet";
    let open = false;
    function show() {
      const wanted = filter.value.trim().toLowerCase();
      let found = 0;
      [...body.rows].forEach(function (row) {
        const fits = !wanted || row.textContent.toLowerCase().includes(wanted);
        found += fits;
        row.classList.toggle("more", !fits || (!wanted && !open && found > FEW));
      });
      more.hidden = Boolean(wanted);
      more.textContent = open ? R.words.showFew : R.say("showAll", count);
      said.textContent = wanted ? R.say("rows", found, count) : "";
    }
    more.addEventListener("click", function () { open = !open; show(); });
    filter.addEventListener("input", show);
    tools.append(filter, said, more);
    card.querySelector(".table-box").after(tools);
    show();
    return show;
  }

  document.querySelectorAll(".table-card").forEach(function (card) {
    const table = card.querySelector("table");
    const again = long(card, table);
    if (table.tBodies[0].rows.length > 1) { sortable(table, again); }
  });
})();
