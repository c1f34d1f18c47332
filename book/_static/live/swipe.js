/* One CT slice, and a line that swipes between two answers: the truth, the parent's, a child's.
   Data: {size: [rows, columns], regions: {name: its lowest label}, slices: [{name, picture, answers: {name: [label, how often, …]}}]} of
   page 11: label maps, run by run, row by row. */
(function () {
  "use strict";
  var LOOKS = { truth: "var(--hkt-truth)", parent: "var(--hkt-parent)", plain: "var(--hkt-child)" }, count = 0;
  var compute = {
    /* Runs as labels, pixel by pixel. */
    decode: function (runs) {
      var labels = [], k, n;
      for (k = 0; k < runs.length; k += 2) { for (n = 0; n < runs[k + 1]; n += 1) { labels.push(runs[k]); } }
      return labels;
    },
    /* 2 |A and B| / (|A| + |B|) of the pixels from label `low` on; null where both are empty. */
    dice: function (found, truth, low) {
      var both = 0, sizes = 0;
      found.forEach(function (label, k) {
        both += Number(label >= low && truth[k] >= low);
        sizes += Number(label >= low) + Number(truth[k] >= low);
      });
      return sizes ? 2 * both / sizes : null;
    },
    /* The border of the pixels from `low` on, as a path along the edges of pixels. */
    outline: function (labels, size, low) {
      var d = "", y, x;
      function inside(y, x) { return y >= 0 && x >= 0 && y < size[0] && x < size[1] && labels[y * size[1] + x] >= low; }
      for (y = 0; y <= size[0]; y += 1) {
        for (x = 0; x <= size[1]; x += 1) {
          if (inside(y, x) !== inside(y - 1, x)) { d += "M" + x + " " + y + "h1"; }
          if (inside(y, x) !== inside(y, x - 1)) { d += "M" + x + " " + y + "v1"; }
        }
      }
      return d;
    }
  };

  function draw(root, data, ui) {
    var names = Object.keys(data.slices[0].answers), regions = Object.keys(data.regions), slice = data.slices[0], at = 50;
    var sides = [names[0], names[names.length - 1]], rows = data.size[0], columns = data.size[1];
    var options = names.map(function (name) { return [name, name]; });
    if (data.slices.length > 1) {
      ui.choice(root, {
        label: "Slice", value: 0, options: data.slices.map(function (one, k) { return [k, one.name]; }),
        on: function (value) { slice = data.slices[value]; show(); }
      });
    }
    ["Left", "Right"].forEach(function (label, side) {
      ui.choice(root, { label: label, options: options, value: sides[side], on: function (name) { sides[side] = name; show(); } });
    });
    var slider = ui.slider(root, {
      label: "Line", min: 0, max: 100, step: 1, value: at, on: function (value) { at = value; show(); }, text: function (value) { return value + " % from the left"; }
    });
    var stage = ui.element("div", { "class": "hkt-swipe hkt-onblack" }, root);
    ui.key(root, names.map(function (name) { return [name, look(name)]; })).classList.add("hkt-onblack");
    var said = ui.said(root), table = ui.table(root, "Dice in the slice that is shown");
    stage.addEventListener("pointermove", function (event) {
      var box = stage.firstChild.getBoundingClientRect();
      if (event.buttons) { slider.set(Math.round(100 * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)))); }
    });

    function look(name) { return LOOKS[name] || "var(--hkt-inherited)"; }
    function half(svg, name, from, to) {
      var id = "hkt-swipe-" + (count += 1), labels = compute.decode(slice.answers[name]), colour = look(name);
      ui.element("rect", { x: from, y: 0, width: Math.max(0, to - from), height: rows }, ui.element("clipPath", { id: id }, svg));
      regions.forEach(function (region, n) {
        ui.element("path", {
          d: compute.outline(labels, data.size, data.regions[region]), fill: "none", stroke: colour, "clip-path": "url(#" + id + ")",
          "stroke-width": (0.35 + 0.35 * n) * columns / 64, "stroke-linecap": "square"
        }, svg);
      });
    }
    function words(name) {
      return regions.map(function (region) {
        return region + " " + ui.number(compute.dice(compute.decode(slice.answers[name]), compute.decode(slice.answers.truth), data.regions[region]));
      }).join(", ");
    }
    function show() {
      var line = at / 100 * columns, svg;
      stage.textContent = "";
      svg = ui.svg(stage, columns, rows, slice.name + ": left of the line the outlines of " + sides[0] + ", right of it of " + sides[1]);
      ui.element("image", { href: slice.picture, x: 0, y: 0, width: columns, height: rows, style: "image-rendering: pixelated" }, svg);
      half(svg, sides[0], 0, line);
      half(svg, sides[1], line, columns);
      ui.element("path", { d: "M" + line + " 0V" + rows, stroke: "#f6d743", "stroke-width": columns / 160 }, svg);
      said.textContent = slice.name + ". Left of the line " + sides[0] + ", right of it " + sides[1] + "; thin: " + regions[0] +
        (regions[1] ? ", thick: " + regions[1] : "") + ". In the whole slice, Dice: " + names.slice(1).map(function (name) { return name + " " + words(name); }).join("; ") + ".";
      table(["answer"].concat(regions), names.slice(1).map(function (name) {
        var found = compute.decode(slice.answers[name]), truth = compute.decode(slice.answers.truth);
        return [name].concat(regions.map(function (region) {
          var value = compute.dice(found, truth, data.regions[region]);
          return value === null ? "\u2013" : value;
        }));
      }));
    }
    show();
  }

  hkt.figures.swipe = { compute: compute, draw: draw };
}());
