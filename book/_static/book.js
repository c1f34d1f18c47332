/* What every page of the book needs after it is read: names for what opens, a place in the keyboard's
   order for what scrolls, and everything open on paper. */
(function () {
  "use strict";
  var WIDE = ".hkt-scroll, .pst-scrollable-table-container, div.math, .cell_output .output, div.highlight pre";

  function all(selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); }
  function said(element) { return element ? element.textContent.replace(/\s+/g, " ").trim() : ""; }

  /* The toggle of a box is named after the box, not "Toggle hidden content" on each. */
  function nameToggles() {
    all("button.toggle-button").forEach(function (button) {
      var box = button.closest(".admonition, .solution, .exercise, .toggle"), title = said(box && box.querySelector(".admonition-title"));
      var closed = button.classList.contains("toggle-button-hidden");
      button.setAttribute("aria-label", (closed ? "Show: " : "Hide: ") + (title || "hidden content"));
      button.setAttribute("aria-expanded", String(!closed));
      var hint = box && box.querySelector(".toggle-button-hint");
      if (hint) { hint.setAttribute("aria-hidden", "true"); }
    });
  }

  /* What is wider than its place can be reached and scrolled by keyboard, has a name, and says so. */
  function markWide() {
    all(WIDE).forEach(function (element, number) {
      var wide = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX !== "visible";
      element.classList.toggle("hkt-scrolls", wide);
      if (wide) {
        element.tabIndex = 0;
        element.setAttribute("role", "region");
        element.setAttribute("aria-label", (said(element.querySelector("caption")).slice(0, 90) || "Wider than the page, scrolls sideways") + ", place " + (number + 1));
      } else if (element.tabIndex === 0) {
        ["tabindex", "role", "aria-label"].forEach(function (name) { element.removeAttribute(name); });
      }
    });
  }

  /* On paper everything is open; afterwards it is as it was. */
  var opened = [];
  function openForPaper() {
    opened = all("details:not([open])");
    opened.forEach(function (one) { one.open = true; });
  }
  function closeAgain() { opened.forEach(function (one) { one.open = false; }); }

  /* Figures that can be moved: their script and their data come when they are near the screen.  The still stays where
     that fails, for those without scripts, and on paper. */
  var HERE = (document.currentScript || { src: "" }).src.replace(/book\.js.*$/, ""), asked = {};
  var hkt = window.hkt = window.hkt || {};
  hkt.markWide = markWide;
  hkt.data = hkt.data || {};
  function load(address) {
    asked[address] = asked[address] || new Promise(function (done, failed) {
      var script = document.createElement("script");
      script.src = address;
      script.onload = done;
      script.onerror = failed;
      document.head.appendChild(script);
    });
    return asked[address];
  }
  function liven(root) {
    var name = root.dataset.live, inside = root.querySelector("script[type='application/json']");
    var data = root.dataset.source ? load(root.dataset.source) : Promise.resolve();
    load(HERE + "live.js").then(function () { return Promise.all([load(HERE + "live/" + name + ".js"), data]); }).then(function () {
      var numbers = inside ? JSON.parse(inside.textContent) : hkt.data[root.dataset.key];
      root.textContent = "";
      hkt.figures[name].draw(root, numbers, hkt.ui);
      root.dataset.ready = "yes";
      markWide();
    }).catch(function (fault) {
      root.textContent = "";
      root.dataset.ready = "no";
      console.error("The figure " + name + " could not be set in motion: " + fault);
    });
  }
  function watchFigures() {
    var figures = all(".hkt-live[data-live]");
    if (!figures.length || !window.IntersectionObserver) { return; }
    var near = new IntersectionObserver(function (seen) {
      seen.forEach(function (one) {
        if (one.isIntersecting) { near.unobserve(one.target); liven(one.target); }
      });
    }, { rootMargin: "600px" });
    figures.forEach(function (one) { near.observe(one); });
  }

  function start() {
    nameToggles();
    watchFigures();
    markWide();
    document.addEventListener("click", function (event) {
      if (event.target.closest(".toggle-button, .admonition-title")) { setTimeout(nameToggles, 0); }
    });
    document.addEventListener("toggle", markWide, true);
    window.addEventListener("resize", markWide);
    window.addEventListener("beforeprint", openForPaper);
    window.addEventListener("afterprint", closeAgain);
  }
  if (document.readyState === "complete") { start(); } else { window.addEventListener("load", start); }
}());
