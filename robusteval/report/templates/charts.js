(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
  var drawn = {};

  function theme(width) {
    var ink = dark.matches ? "#aab4c0" : "#55606c";
    var line = dark.matches ? "#39424e" : "#dde2e8";
    var small = width < 520 ? 11 : 12;
    var text = { labelColor: ink, titleColor: ink, labelFont: font, titleFont: font, labelFontSize: small, titleFontSize: small };
    function and(more) { return Object.assign({}, text, more); }
    return {
      background: "transparent", font: font, view: { stroke: null },
      axis: and({ gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500, titlePadding: 10 }),
      legend: and({
        orient: "bottom", columns: Math.max(1, Math.floor(width / 215)), labelLimit: Math.min(250, width - 60),
        symbolType: "stroke", symbolStrokeWidth: 3, rowPadding: 6, columnPadding: 18
      })
    };
  }

  function draw(figure) {
    var target = figure.querySelector(".chart-live");
    var source = figure.querySelector("script[type='application/json']");
    var width = target.clientWidth;
    if (width < 40) { return; }
    if (drawn[figure.id]) { drawn[figure.id].finalize(); }
    figure.classList.add("live");
    window.vegaEmbed(target, JSON.parse(source.textContent), {
      ast: true, actions: false, renderer: "svg", config: theme(width),
      tooltip: { theme: dark.matches ? "dark" : "light" }
    }).then(function (result) {
      drawn[figure.id] = result;
      figure.setAttribute("data-drawn", "yes");
    }, function (error) {
      figure.classList.remove("live");
      figure.setAttribute("data-drawn", "no");
      console.error("chart " + figure.id + ": " + error);
    });
  }

  function all() { document.querySelectorAll("figure.chart").forEach(draw); }

  var waiting = 0;
  var last = 0;
  window.addEventListener("resize", function () {
    if (window.innerWidth === last) { return; }
    last = window.innerWidth;
    window.clearTimeout(waiting);
    waiting = window.setTimeout(all, 150);
  });
  last = window.innerWidth;
  dark.addEventListener("change", all);
  document.querySelectorAll("figure.chart").forEach(function (figure) { figure.classList.add("live"); });
  all();
})();
