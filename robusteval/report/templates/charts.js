(function () {
  "use strict";
  const R = (window.robustevalPage = {});
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
  const drawn = {};
  R.words = JSON.parse(document.getElementById("page-words").textContent);
  R.say = (name, ...values) => values.reduce((text, value) => text.replace("{}", () => value), R.words[name]);
  R.charts = {}; // by the figure's id: what the chart's parameters are set to
  document.documentElement.classList.add("js");

  function theme(width, spec) {
    const ink = dark.matches ? "#b4bdc8" : "#4b5560";
    const line = dark.matches ? "#39424e" : "#dde2e8";
    const small = width < 520 ? 11 : 12;
    const text = { labelColor: ink, titleColor: ink, labelFont: font, titleFont: font, labelFontSize: small, titleFontSize: small };
    const and = (more) => Object.assign({}, text, more);
    const longest = Math.max(1, ...((spec.datasets || {}).rows || []).map((row) => (row.series || "").length));
    return {
      background: "transparent", font: font, view: { stroke: null },
      text: { color: ink },
      axis: and({ gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500, titlePadding: 10 }),
      legend: and({
        orient: "bottom", columns: Math.max(1, Math.min(6, Math.floor(width / (6.6 * longest + 50)))), labelLimit: width - 60,
        symbolType: "stroke", symbolStrokeWidth: 3, rowPadding: 6, columnPadding: 18
      })
    };
  }

  function settle(figure) {
    const chosen = R.charts[figure.id];
    const result = drawn[figure.id];
    if (!chosen || !result) { return; }
    Object.keys(chosen).forEach((name) => result.view.signal(name, chosen[name]));
    result.view.runAsync();
  }

  function draw(figure) {
    const target = figure.querySelector(".chart-live");
    const width = target.clientWidth;
    if (width < 40 || !window.vegaEmbed) { return; }
    if (drawn[figure.id]) { drawn[figure.id].finalize(); }
    const spec = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    window.vegaEmbed(target, spec, {
      ast: true, actions: false, renderer: "svg", config: theme(width, spec),
      tooltip: { theme: dark.matches ? "dark" : "light" }
    }).then(function (result) {
      drawn[figure.id] = result;
      figure.setAttribute("data-drawn", "yes");
      settle(figure);
      result.view.addEventListener("click", function (_, item) {
        const panel = figure.closest("[data-norm]");
        if (panel && item && item.datum && item.datum.line !== undefined && R.showTaken) {
          R.showTaken(panel.dataset.norm, item.datum.line, item.datum.x);
        }
      });
    }, function (error) {
      figure.classList.remove("live");
      figure.setAttribute("data-drawn", "no");
      console.error("chart " + figure.id + ": " + error);
    });
  }

  R.setChart = function (id, name, value) {
    R.charts[id] = Object.assign(R.charts[id] || {}, { [name]: value });
    const figure = document.getElementById(id);
    if (figure) { settle(figure); }
  };
  // what is folded or on another tab has no width, and is drawn once it is looked at
  R.drawNew = (root) => root.querySelectorAll("figure.chart:not([data-drawn])").forEach(draw);
  const all = () => document.querySelectorAll("figure.chart").forEach(draw);

  document.querySelectorAll("figure.chart").forEach((figure) => figure.classList.add("live"));
  document.addEventListener("DOMContentLoaded", function () {
    let waiting = 0;
    let last = window.innerWidth;
    window.addEventListener("resize", function () {
      if (window.innerWidth === last) { return; }
      last = window.innerWidth;
      window.clearTimeout(waiting);
      waiting = window.setTimeout(all, 150);
    });
    dark.addEventListener("change", all);
    document.addEventListener("toggle", function (event) {
      if (event.target.open && !printing && event.target.matches("details")) { R.drawNew(event.target); }
    }, true);
    // paper has what is folded too, as still pictures; browsers differ in whether style alone can open it
    let printing = false;
    let folded = [];
    window.addEventListener("beforeprint", function () {
      printing = true;
      folded = [...document.querySelectorAll("details:not([open])")];
      folded.forEach((part) => { part.open = true; });
    });
    window.addEventListener("afterprint", function () {
      folded.forEach((part) => { part.open = false; });
      printing = false;
    });
    R.drawNew(document);
  });

  document.querySelectorAll("button.copy").forEach(function (button) {
    const plain = button.textContent;
    button.addEventListener("click", function () {
      const say = function (text) {
        button.textContent = text;
        window.setTimeout(() => { button.textContent = plain; }, 2000);
      };
      const done = navigator.clipboard ? navigator.clipboard.writeText(button.dataset.copy) : Promise.reject();
      done.then(() => say(R.words.copied), function () {
        window.getSelection().selectAllChildren(button.parentElement.querySelector("code"));
        say(document.execCommand("copy") ? R.words.copied : R.words.copyByHand);
      });
    });
  });
  // a link to something folded opens it
  const unfold = function () {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) { if (part.matches("details")) { part.open = true; } }
  };
  window.addEventListener("hashchange", unfold);
  unfold();
})();
