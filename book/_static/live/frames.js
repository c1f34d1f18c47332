/* Two frames that blink, and RAFT's flow and its error after each update.
   Data: {size: [rows, columns] of the maps, frames: [two pictures], unit: px, flows: [an update's, …], truth, longest: px, epe: [px an update],
   zero: px, heat: [colours]} of page 12; a map is u and then v in units, a signed byte each, in base64. */
(function () {
  "use strict";
  var HUES = [[15, 0, 1], [6, 1, 0], [4, 1, 2], [11, 2, 1], [13, 2, 0], [6, 0, 2]];  // steps of the wheel: how many, which is full, which moves
  var compute = {
    /* [u of each pixel, v of each pixel] in px. */
    decode: function (text, unit) {
      var bytes = atob(text), values = [], k;
      for (k = 0; k < bytes.length; k += 1) { values.push(unit * (bytes.charCodeAt(k) << 24 >> 24)); }
      return [values.slice(0, values.length / 2), values.slice(values.length / 2)];
    },
    /* The colour wheel of Baker et al. (2011), from red on: [red, green, blue] in 0 to 255. */
    wheel: function () {
      var colours = [];
      HUES.forEach(function (part, n) {
        for (var k = 0; k < part[0]; k += 1) {
          var colour = [0, 0, 0], moved = Math.floor(255 * k / part[0]);
          colour[part[1]] = 255;
          colour[part[2]] = n % 2 ? 255 - moved : moved;
          colours.push(colour);
        }
      });
      return colours;
    },
    /* The colour of a flow vector: hue is the direction, saturation the length up to `longest`. */
    colour: function (u, v, longest, wheel) {
      var far = Math.min(1, Math.hypot(u, v) / longest), turn = (Math.atan2(-v, -u) / Math.PI + 1) / 2 * (wheel.length - 1);
      var k = Math.floor(turn), next = wheel[(k + 1) % wheel.length];
      return wheel[k].map(function (value, c) {
        var pure = ((1 - (turn - k)) * value + (turn - k) * next[c]) / 255;
        return Math.floor(255 * (1 - far * (1 - pure)));
      });
    },
    /* Length of the difference, pixel by pixel, in px. */
    errors: function (flow, truth) {
      return flow[0].map(function (u, k) { return Math.hypot(u - truth[0][k], flow[1][k] - truth[1][k]); });
    },
    /* A value from 0 to 1 between the colours of a scale. */
    heat: function (value, colours) {
      var place = Math.min(1, Math.max(0, value)) * (colours.length - 1), k = Math.min(Math.floor(place), colours.length - 2);
      return colours[k].map(function (low, c) { return Math.round(low + (place - k) * (colours[k + 1][c] - low)); });
    }
  };

  function draw(root, data, ui) {
    var wheel = compute.wheel(), truth = compute.decode(data.truth, data.unit), n = 1, shown = 0, timer = null;
    var still = window.matchMedia("(prefers-reduced-motion: reduce)").matches, rows = data.size[0], columns = data.size[1];
    ui.slider(root, {
      label: "Update", min: 1, max: data.flows.length, step: 1, value: n, on: function (value) { n = value; show(); },
      text: function (value) { return value + " of " + data.flows.length; }
    });
    var row = ui.row(root);
    var other = ui.button(row, "Other frame", function () { flip(); });
    if (!still) {
      var blink = ui.button(row, "Blink", function () {
        if (timer) { window.clearInterval(timer); timer = null; } else { timer = window.setInterval(flip, 700); }
        blink.setAttribute("aria-pressed", String(Boolean(timer)));
      });
      blink.setAttribute("aria-pressed", "false");
    }
    var grid = ui.element("div", { "class": "hkt-pictures" }, root);
    function place(name, label) {
      var box = ui.element("div", {}, grid);
      return { picture: ui.element(name, name === "img" ? { alt: label } : { role: "img", "aria-label": label, width: columns, height: rows }, box), name: ui.element("div", {}, box, label) };
    }
    var frame = place("img", "First frame"), right = place("canvas", "True flow"), flow = place("canvas", "Flow"), error = place("canvas", "Error");
    var said = ui.said(root), table = ui.table(root, "End-point error after each update");
    table(["update", "end-point error (px)"], [["none: zero flow", data.zero]].concat(data.epe.map(function (value, k) { return [k + 1, value]; })));

    function flip() {
      shown = 1 - shown;
      frame.picture.src = data.frames[shown];
      frame.name.textContent = frame.picture.alt = (shown ? "Second" : "First") + " frame";
    }
    function paint(canvas, colour) {
      var pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows), k;
      for (k = 0; k < rows * columns; k += 1) { image.data.set(colour(k).concat(255), 4 * k); }
      pen.putImageData(image, 0, 0);
    }
    function paintFlow(canvas, vectors) {
      paint(canvas, function (k) { return compute.colour(vectors[0][k], vectors[1][k], data.longest, wheel); });
    }
    function show() {
      var vectors = compute.decode(data.flows[n - 1], data.unit), errors = compute.errors(vectors, truth), best = Math.min.apply(null, data.epe);
      paintFlow(flow.picture, vectors);
      paint(error.picture, function (k) { return compute.heat(errors[k] / data.longest, data.heat); });
      flow.name.textContent = "Flow after update " + n;
      error.name.textContent = "Error, dark 0 to bright " + ui.number(data.longest, 0) + " px";
      flow.picture.setAttribute("aria-label", flow.name.textContent);
      error.picture.setAttribute("aria-label", error.name.textContent + ", after update " + n);
      said.textContent = "After update " + n + " the end-point error is " + ui.number(data.epe[n - 1]) + " px over all pixels; zero flow's is " + ui.number(data.zero) +
        " px, the best of these " + data.epe.length + " updates has " + ui.number(best) + " px (update " + (data.epe.indexOf(best) + 1) + ").";
    }
    frame.picture.src = data.frames[0];
    paintFlow(right.picture, truth);
    show();
  }

  hkt.figures.frames = { compute: compute, draw: draw };
}());
