/* Run in a page of the book: each function of `hkt` returns a sentence for each thing that is wrong. */
window.hkt = Object.assign(window.hkt || {}, (() => {
  const visible = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true});
  const called = e => `<${e.tagName.toLowerCase()} class="${e.getAttribute('class') || ''}">`;
  const said = e => e.textContent.replace(/\s+/g, ' ').trim().slice(0, 50);

  /* Headings, pictures and their texts, formulas, raw markup, names of what opens, links of record ids. */
  const readable = () => {
    const wrong = [];
    const h1 = [...document.querySelectorAll('h1')].filter(e => e.getClientRects().length).length;  // not the print one
    if (h1 !== 1) wrong.push(`${h1} first-level headings instead of one`);
    if (!document.title.trim()) wrong.push('no title');
    const viewports = document.querySelectorAll('meta[name=viewport]').length;
    if (viewports !== 1) wrong.push(`${viewports} viewport tags instead of one`);
    for (const img of document.querySelectorAll('img')) {
      const name = img.currentSrc.slice(0, 80), alt = (img.getAttribute('alt') || '').trim();
      if (!(img.complete && img.naturalWidth > 0) && img.getClientRects().length) wrong.push(`image not loaded: ${name}`);
      if (alt.length < 4 || /\.(png|svg|jpe?g|gif|webp)$|_images\/|^[0-9a-f]{16,}/i.test(alt))
        wrong.push(`image without human alternative text (${alt || 'empty'}): ${name}`);
    }
    for (const svg of document.querySelectorAll('svg[role=img]:not([aria-hidden=true])'))
      if (!svg.querySelector('title') && !svg.getAttribute('aria-label')) wrong.push('an inline drawing without a title');
    for (const math of document.querySelectorAll('.math'))
      if (!math.querySelector('math')) wrong.push(`mathematics not typeset: ${said(math)}`);
    for (const math of document.querySelectorAll('math, merror'))
      if (math.tagName === 'merror' || math.textContent.includes('\\')) wrong.push(`TeX error: ${said(math)}`);
    for (const paragraph of document.querySelectorAll('article p'))
      if (/^\s*\||\*\*|\]\(|^\s*:::/.test(paragraph.textContent) && !paragraph.querySelector('code'))
        wrong.push(`Markdown shown as it is written: ${said(paragraph)}`);
    const tex = new RegExp(String.raw`\\\(|\\\[|\$\$|\\(frac|lambda|sigma|sqrt|langle|mathrm|begin|lVert)\b`
      + String.raw`|\{(ref|doc|cite|eq|numref|verdict)[:a-z]*\}` + '`');
    const walk = document.createTreeWalker(document.querySelector('article') || document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walk.nextNode();) {
      const found = node.textContent.match(tex);
      if (found && !node.parentElement.closest('pre, code, script, style, math, textarea'))
        wrong.push(`raw markup ${found[0]} in: ${node.textContent.trim().slice(0, 60)}`);
    }
    const names = new Map();
    for (const e of document.querySelectorAll('article :is(summary, button.toggle-button)')) {
      const name = e.getAttribute('aria-label') || said(e);
      names.set(name, (names.get(name) || 0) + 1);
    }
    for (const name of ['Toggle hidden content', 'Show code cell source', "The figure's numbers"])
      if (names.has(name)) wrong.push(`${names.get(name)} of what opens are called "${name}"`);
    for (const id of document.querySelectorAll('article code[title]'))
      if (/^[0-9a-f]{12}$/.test(id.title) && !id.closest('a.hkt-record')) wrong.push(`record ${id.title} is no link`);
    return wrong;
  };

  /* Nothing is wider than the screen but what scrolls and says so; code and what it printed is never cut. */
  const fitting = () => {
    const wrong = [], width = document.documentElement.clientWidth, page = document.documentElement.scrollWidth;
    const scrolls = '.hkt-scroll, .pst-scrollable-table-container, div.math';
    if (page > width) {
      const wide = [...document.querySelectorAll('article *')]
        .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest(scrolls)).slice(0, 3).map(called);
      wrong.push(`the page is ${page} px wide on a ${width} px screen: ${wide.join(' ')}`);
    }
    for (const e of document.querySelectorAll(`article :is(pre, .output, ${scrolls})`)) {
      if (e.scrollWidth <= e.clientWidth + 1 || !visible(e) || getComputedStyle(e).overflowX === 'visible') continue;
      if (!e.matches(scrolls)) wrong.push(`cut at its right edge by ${e.scrollWidth - e.clientWidth} px: ${said(e)}`);
      else if (!e.matches('.hkt-scrolls[tabindex="0"]')) wrong.push(`scrolls without a hint or a place for the keyboard: ${said(e)}`);
    }
    for (const e of document.querySelectorAll('article :is(img, svg[role=img])')) {
      const box = e.getBoundingClientRect();
      if (visible(e) && box.width && (box.left < -1 || box.right > width + 1)) wrong.push(`a picture is outside the screen: ${e.alt || e.getAttribute('aria-label') || called(e)}`.slice(0, 100));
    }
    for (const e of document.querySelectorAll('article :is(p, li, dd)')) {
      if (!visible(e) || e.querySelector('p, ul, ol, dl, math')) continue;
      const lines = Math.round(e.clientHeight / parseFloat(getComputedStyle(e).lineHeight));
      const letters = Math.round(e.textContent.replace(/\s+/g, ' ').length / Math.max(1, lines));
      if (lines > 2 && letters > 84) wrong.push(`lines of ${letters} letters: ${said(e)}`);
    }
    return wrong;
  };

  /* On paper nothing scrolls, so nothing may be wider than its place. */
  const printed = () => {
    window.dispatchEvent(new Event('beforeprint'));
    const wrong = [], width = document.documentElement.clientWidth;
    for (const e of document.querySelectorAll('article :is(pre, table, img, .math, .hkt-card, svg)')) {
      if (!visible(e)) continue;
      const box = e.getBoundingClientRect(), style = getComputedStyle(e);
      if (box.width && box.right > width + 2) wrong.push(`beyond the paper by ${Math.round(box.right - width)} px: ${called(e)} ${said(e)}`);
      else if (e.scrollWidth > e.clientWidth + 1 && style.overflowX !== 'visible' && e.tagName !== 'svg') wrong.push(`cut on paper: ${called(e)} ${said(e)}`);
    }
    window.dispatchEvent(new Event('afterprint'));
    return wrong;
  };

  /* Each kind of thing that the keyboard reaches shows that it is reached.  After a key was pressed. */
  const focused = () => {
    const wrong = [], seen = new Set(), before = document.activeElement;
    for (const e of document.querySelectorAll('a[href], button, summary, input, select, textarea, [tabindex="0"]')) {
      const kind = `${e.tagName} ${e.getAttribute('class') || ''} ${e.parentElement.getAttribute('class') || ''}`;
      if (seen.has(kind) || !visible(e) || !e.getClientRects().length || e.closest('.skip-link')) continue;
      seen.add(kind);
      e.focus({preventScroll: true});
      if (document.activeElement !== e) continue;
      const style = getComputedStyle(e);
      if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) wrong.push(`focus is invisible on ${called(e)} ${said(e)}`);
    }
    if (before) before.focus({preventScroll: true});
    return wrong;
  };

  /* Contrast of text against what is painted behind it, by WCAG 2: 4.5, or 3 for large text; in drawings, too. */
  const contrast = () => {
    const parse = colour => {
      const v = (colour.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number), unit = colour.startsWith('color(') ? 255 : 1;
      return [v[0] * unit, v[1] * unit, v[2] * unit, v[3] ?? 1];
    };
    const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
    const light = colour => {
      const f = colour.slice(0, 3).map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
      return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2];
    };
    const grounds = new Map([[null, [255, 255, 255, 1]]]);
    const ground = e => {                                 // null behind a picture
      if (!grounds.has(e)) {
        const s = getComputedStyle(e), colour = parse(s.backgroundColor);
        const below = colour[3] === 1 ? [0, 0, 0, 1] : ground(e.parentElement);
        grounds.set(e, s.backgroundImage !== 'none' || !below ? null : over(colour, below));
      }
      return grounds.get(e);
    };
    const skip = 'script, style, noscript, details:not([open]) table';
    const seen = new Map(), done = new Set(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walk.nextNode();) {
      const e = node.parentElement, text = node.textContent.trim();
      if (!text || done.has(e) || e.closest(skip)) continue;
      done.add(e);
      if (!visible(e)) continue;
      const s = getComputedStyle(e), behind = ground(e);
      if (!behind || +s.opacity < 1) continue;
      const ink = over(parse(e instanceof SVGElement ? s.fill : s.color), behind);
      const [high, low] = [light(ink), light(behind)].sort((x, y) => y - x), ratio = (high + 0.05) / (low + 0.05);
      const size = parseFloat(s.fontSize), large = size >= 24 || (size >= 18.66 && +s.fontWeight >= 700);
      const key = `${called(e)} ${s.color}`;
      if (ratio < (large ? 3 : 4.5) && !seen.has(key)) seen.set(key, `contrast ${ratio.toFixed(2)} of ${key}: ${text.slice(0, 40)}`);
    }
    return [...seen.values()];
  };

  /* One visible text, outside of code, of each kind: tags, classes and own styles from it up to the page. */
  const kinds = () => {
    const first = new Map(), walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; node = walk.nextNode();) {
      const e = node.parentElement;
      if (!node.textContent.trim() || e.closest('script, style, noscript, .highlight pre') || !visible(e)) continue;
      let kind = '';
      for (let up = e; up; up = up.parentElement)
        kind += `${up.tagName} ${up.getAttribute('class') || ''} ${up.getAttribute('style') || ''}<`;
      if (!first.has(kind)) first.set(kind, e);
    }
    return [...first.values()];
  };

  /* Bytes that came over the wire, before anything was scrolled or asked for. */
  const weight = () => performance.getEntries().reduce((sum, e) => sum + (e.encodedBodySize || 0), 0);

  return {readable, fitting, printed, focused, contrast, kinds, weight};
})());
