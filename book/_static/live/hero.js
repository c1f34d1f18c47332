/* The front page: its drawing in motion.  A slider trains: p flows in, the child fills with green, the parent fades.  An
   illustration of the idea; it holds no number of any run.  What moves lies on both drawings of hero.html, wide and tall. */
(function () {
  "use strict";
  var DOTS = 5, LAPS = 7, TRAINED = 0.8;        // the last fifth of the way is what comes after training

  /* At t from 0, newborn, to 1, alone: how full the child is, how much is left of the parent, and where on the way from parent
     to child each dot is; no dots before and after training. */
  function state(t) {
    var after = Math.max(0, (t - TRAINED) / (1 - TRAINED)), dots = [];
    for (var k = 0; k < DOTS && t > 0 && after === 0; k += 1) { dots.push((LAPS * t + k / DOTS) % 1); }
    return { filled: Math.min(1, t / TRAINED), parent: 1 - after, dots: dots, stage: t === 0 ? "before" : after === 0 ? "training" : after < 1 ? "leaving" : "alone" };
  }
  var SAID = {
    before: "Before training: the parent knows and is frozen; the child is new.",
    training: "Training: p flows in, the mixture m teaches the child, and the child's own feature c comes back to meet p.",
    leaving: "Training is over: the parent and everything between the two are taken away.",
    alone: "After training: the child is alone, as small as it was. What it has inherited is in its weights."
  };

  function draw(root, data, ui) {
    var scenes = Array.prototype.map.call(root.closest("figure").querySelectorAll("svg"), scene);

    function scene(svg) {
      var child = svg.querySelector(".child"), box = child.querySelector("rect"), height = Number(box.getAttribute("height")), bottom = Number(box.getAttribute("y")) + height;
      var fill = ui.element("rect", { "class": "hkt-fill", x: Number(box.getAttribute("x")) + 1.5, width: box.getAttribute("width") - 3, rx: 8 }, child);
      var ways = Array.prototype.slice.call(svg.querySelectorAll(".arrow path"), 0, 4), dots = [];
      for (var k = 0; k < DOTS; k += 1) { dots.push(ui.element("circle", { r: 6, visibility: "hidden" }, svg)); }
      var leaving = Array.prototype.filter.call(svg.children, function (part) { return !/title|desc|defs/.test(part.tagName) && part !== child && !part.hasAttribute("data-stays") && dots.indexOf(part) < 0; });
      return function (now) {
        ui.set(fill, { height: (now.filled * (height - 3)).toFixed(1), y: (bottom - 1.5 - now.filled * (height - 3)).toFixed(1) });
        leaving.forEach(function (part) { 
          var least = part.tagName === "text" ? 0.65 : 0.1;             // words stay readable
          part.style.opacity = least + (1 - least) * now.parent;
        });
        dots.forEach(function (dot, k) {
          var here = now.dots[k], way = here === undefined ? null : ways[Math.floor(4 * here)];
          dot.setAttribute("visibility", way ? "visible" : "hidden");
          if (!way) { return; }
          var at = way.getPointAtLength((4 * here % 1) * way.getTotalLength());
          ui.set(dot, { cx: at.x, cy: at.y, fill: here < 0.75 ? "var(--hkt-parent)" : "var(--hkt-inherited)" });
        });
      };
    }

    var shown = "", slider = ui.slider(root, {
      label: "Train", min: 0, max: 100, step: 1, value: 0,
      text: function (value) { return value < 100 * TRAINED ? ui.number(value / TRAINED, 0) + " %" : "done"; },
      on: function (value) { show(value / 100); }
    });
    var said = ui.said(root), running = 0;
    if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
      ui.button(slider.input.parentNode, "Play", function () {
        var begun = null;
        cancelAnimationFrame(running);
        function step(time) {
          begun = begun || time;
          slider.set(Math.min(100, (time - begun) / 60));
          if (time - begun < 6000) { running = requestAnimationFrame(step); }
        }
        running = requestAnimationFrame(step);
      });
      slider.input.addEventListener("pointerdown", function () { cancelAnimationFrame(running); });
      slider.input.addEventListener("keydown", function () { cancelAnimationFrame(running); });
    }
    function show(t) {
      var now = state(t);
      scenes.forEach(function (scene) { scene(now); });
      if (shown !== now.stage) { said.textContent = SAID[shown = now.stage]; }
    }
    show(0);
  }
  window.hkt.figures.hero = { compute: { state: state }, draw: draw };
}());
