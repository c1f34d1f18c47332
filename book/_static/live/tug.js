/* Page 05: the pull of each loss on the child's feature, and the pull of their sum; boxes drop a term.
   Data: {terms: [names], pictures: [one an image], situations: {name: [{share, pulls: {term: [to the right, up]}, products: [[…], …]}, …]}},
   one an image, the longest pull 1.  To the right is the way to the parent, upwards what L_c pulls besides; `products` are
   the dot products of the whole pulls, which leave the plane. */
(function () {
  "use strict";
  var LOOKS = { "L_c": "child", "L_c*": "inherited", "L_p*": "parent" };

  /* The sum of the pulls that are `on`: {pull: [right, up], length, parent: cosine with the way to the parent, own: with the first}. */
  function resultant(image, terms, on) {
    var sum = [0, 0], square = 0, own = 0, first = Math.sqrt(image.products[0][0]);
    terms.forEach(function (one, i) {
      if (!on[one]) { return; }
      sum = [sum[0] + image.pulls[one][0], sum[1] + image.pulls[one][1]];
      own += image.products[0][i];
      terms.forEach(function (other, j) { square += on[other] ? image.products[i][j] : 0; });
    });
    var length = Math.sqrt(Math.max(0, square)), some = length > 0;
    return { pull: sum, length: length, parent: some ? sum[0] / length : null, own: some && first > 0 ? own / length / first : null };
  }

  function draw(root, data, ui) {
    var state = { image: Math.floor(data.pictures.length / 2), name: Object.keys(data.situations)[0] }, terms = data.terms, arrows = {}, letters = {};
    ui.choice(root, {
      label: "child", value: state.name, options: Object.keys(data.situations).map(function (name) { return [name, name]; }),
      on: function (value) { state.name = value; show(); }
    });
    ui.choice(root, {
      label: "image", value: state.image, on: function (value) { state.image = value; show(); },
      options: data.pictures.map(function (picture, i) { return [i, "image " + (i + 1), picture]; })
    });
    state.on = ui.boxes(root, { label: "losses that pull", options: terms.map(function (term) { return [term, term]; }), on: show });
    var width = ui.width(root), height = 290, svg = ui.svg(root, width, height, "Arrows for the pull of each loss and of their sum");
    var axes = ui.element("g", { "class": "hkt-axes" }, svg), across = ui.element("line", { x1: 8, x2: width - 8 }, axes), up = ui.element("line", { y1: 8, y2: height - 8, "class": "hkt-grid" }, axes);
    var away = ui.element("text", { x: 8 }, svg, "← from the parent"), to = ui.element("text", { x: width - 8, "text-anchor": "end" }, svg, "to the parent →");
    arrows.sum = ui.arrow(ui.element("g", { "class": "hkt-faint" }, svg), "currentColor", 8);
    terms.forEach(function (term, i) { arrows[term] = ui.arrow(svg, "var(--hkt-" + LOOKS[term] + ")", i ? 3 : 5, term === "L_c*" ? "7 4" : "none"); });
    terms.concat("sum").forEach(function (term) {
      letters[term] = ui.element("text", { "class": "hkt-letter", "text-anchor": "middle", style: LOOKS[term] ? "fill:color-mix(in srgb, var(--hkt-" + LOOKS[term] + ") 72%, var(--hkt-ink))" : "" }, svg, LOOKS[term] ? "L" : term);
      if (LOOKS[term]) { ui.element("tspan", { dy: 5, "class": "hkt-index" }, letters[term], term.slice(2)); }
    });
    var said = ui.said(root), fill = ui.table(root, "The numbers of these pulls");

    /* The same for all choices of terms, so that dropping one moves the sum and nothing else. */
    function frame(image) {
      var box = [-0.3, 0.3, -0.2, 0.3];
      for (var choice = 0; choice < 1 << terms.length; choice += 1) {
        var on = {};
        terms.forEach(function (term, i) { on[term] = Boolean(choice >> i & 1); });
        var v = resultant(image, terms, on).pull;
        box = [Math.min(box[0], v[0]), Math.max(box[1], v[0]), Math.min(box[2], v[1]), Math.max(box[3], v[1])];
      }
      return box;
    }

    function show() {
      var here = data.situations[state.name][state.image], pulls = here.pulls, sum = resultant(here, terms, state.on), box = frame(here);
      var unit = Math.min((width - 110) / (box[1] - box[0]), (height - 80) / (box[3] - box[2]));
      var x0 = (width - unit * (box[0] + box[1])) / 2, y0 = height / 2 + unit * (box[2] + box[3]) / 2, placed = [];
      function at(v) { return [x0 + unit * v[0], y0 - unit * v[1]]; }
      ui.set(across, { y1: y0, y2: y0 });
      ui.set(up, { x1: x0, x2: x0 });
      [away, to].forEach(function (text) { text.setAttribute("y", y0 + 18 > height - 4 ? y0 - 8 : y0 + 18); });
      var shown = terms.filter(function (term) { return state.on[term]; }).concat(sum.length > 0 ? "sum" : []), tips = {};
      shown.forEach(function (term) { tips[term] = at(term === "sum" ? sum.pull : pulls[term]); });
      terms.concat("sum").forEach(function (term) {
        arrows[term](at([0, 0]), tips[term] || at([0, 0]));
        letters[term].setAttribute("visibility", tips[term] ? "visible" : "hidden");
      });
      var all = shown.map(function (term) { return tips[term]; });
      shown.forEach(function (term) { place(letters[term], tips[term], all, at([0, 0]), placed); });
      said.textContent = sentence(here, sum);
      fill(["pull", "towards the parent", "across, along L_c", "length"], terms.concat("sum").map(function (term) {
        var i = terms.indexOf(term), v = i < 0 ? sum.pull : pulls[term];
        return [term + (state.on[term] === false ? " (dropped)" : ""), v[0], v[1], i < 0 ? sum.length : Math.sqrt(here.products[i][i])];
      }));
    }

    /* A name beside its arrow's tip, on the side that is farthest from all arrows and from the names that are there already. */
    function place(letter, tip, tips, zero, placed) {
      var best = tip, far = -1;
      for (var turn = 0; turn < 24; turn += 1) { // twelve places near the tip, and twelve farther off
        var ring = turn < 12 ? 1 : 1.6, angle = turn * Math.PI / 6;
        var at = [tip[0] + 24 * ring * Math.cos(angle), tip[1] + 18 * ring * Math.sin(angle)];
        var free = Math.min.apply(null, tips.map(function (other) { return distance(at, zero, other); })
          .concat(placed.map(function (other) { return 0.7 * Math.hypot((at[0] - other[0]) / 1.5, at[1] - other[1]); }), Math.abs(at[1] - zero[1])));
        if (free > far && at[0] > 20 && at[0] < width - 20 && at[1] > 14 && at[1] < height - 8) { best = at; far = free; }
      }
      placed.push(best);
      ui.set(letter, { x: best[0].toFixed(1), y: (best[1] + 6).toFixed(1) });
    }
    function distance(point, from, to) {
      var x = to[0] - from[0], y = to[1] - from[1], along = Math.max(0, Math.min(1, ((point[0] - from[0]) * x + (point[1] - from[1]) * y) / (x * x + y * y || 1)));
      return Math.hypot(point[0] - from[0] - along * x, point[1] - from[1] - along * y);
    }

    function sentence(here, sum) {
      var on = terms.filter(function (term) { return state.on[term]; });
      if (!on.length) { return "No loss pulls: the child's feature stays where it is."; }
      var way = Math.abs(sum.parent) < 0.05 ? "neither towards the parent nor away from it" : sum.parent > 0 ? "towards the parent" : "away from the parent";
      return "Share " + ui.short(here.share) + ". " + on.join(" + ") + " pull with " + ui.number(sum.length, 2) +
        " (the longest single pull is 1), " + way + ": cosine " + ui.number(sum.parent, 2) + " with the way to it, " + ui.number(sum.own, 2) + " with L_c alone.";
    }
    show();
  }
  window.hkt.figures.tug = { compute: { resultant: resultant }, draw: draw };
}());
