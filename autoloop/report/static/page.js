"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (query, from = document) => Array.from(from.querySelectorAll(query));
  const models = JSON.parse(document.getElementById("models").textContent);

  // --- a run that goes on --------------------------------------------------------
  if (document.body.dataset.state === "running") {
    let touched = 0;
    for (const name of ["pointerdown", "keydown", "wheel"])
      addEventListener(name, () => { touched = Date.now(); }, { passive: true });
    setInterval(() => { if (Date.now() - touched > 60000) location.reload(); }, 60000);
  }

  // --- choosing a structure ------------------------------------------------------
  function choose(key, scroll, asked = true) {
    const panel = document.getElementById(key);
    if (!panel) return;
    all(".structure").forEach((e) => e.classList.toggle("chosen", e === panel));
    all("table.choice tr[data-go]").forEach((e) =>
      e.classList.toggle("chosen", e.dataset.go === key));
    const stage = panel.querySelector(".stage");
    if (stage && watcher) { if (asked) show(stage); else watcher.observe(stage); }
    if (scroll) document.getElementById("structures").scrollIntoView();
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-go]");
    if (!link) return;
    event.preventDefault();
    choose(link.dataset.go, !link.closest("table.choice"));
  });
  document.addEventListener("keydown", (event) => {
    const link = event.target.closest && event.target.closest("tr[data-go],circle[data-go]");
    if (!link || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    choose(link.dataset.go, !link.closest("table.choice"));
  });

  // --- measured against simulated ------------------------------------------------
  function curtain(figure, share) {
    const picture = figure.querySelector("svg.compare");
    const width = Number(picture.dataset.width), x = width * share;
    const rect = picture.querySelector(".curtain");
    rect.setAttribute("x", x);
    rect.setAttribute("width", width - x);
    const handle = picture.querySelector(".handle");
    handle.setAttribute("x1", x);
    handle.setAttribute("x2", x);
    figure.querySelector("input[type=range]").value = Math.round(1000 * share);
  }
  all("svg.compare").forEach((picture) => {
    const figure = picture.closest("figure");
    const follow = (event) => {
      const box = picture.getBoundingClientRect();
      curtain(figure, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
    };
    picture.addEventListener("pointerdown", (event) => {
      picture.setPointerCapture(event.pointerId);
      follow(event);
    });
    picture.addEventListener("pointermove", (event) => {
      if (event.buttons) follow(event);
    });
    const slide = figure.querySelector("input[type=range]");
    slide.addEventListener("input", () => curtain(figure, slide.value / 1000));
    const tick = figure.querySelector(".showcolumns");
    tick.addEventListener("change", () =>
      picture.querySelector(".columns").toggleAttribute("hidden", !tick.checked));
  });

  // --- what a dot means ----------------------------------------------------------
  const tip = document.getElementById("tip");
  function say(dot) {
    tip.textContent = dot.dataset.tip;
    tip.style.display = "block";
    const box = dot.getBoundingClientRect();
    const wide = root.clientWidth, own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, box.left + box.width / 2 - own.width / 2), wide - own.width - 4);
    const above = box.top - own.height - 8;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  }
  const hush = () => { tip.style.display = "none"; };
  for (const [name, act] of [["pointerover", say], ["focusin", say], ["click", say]])
    document.addEventListener(name, (event) => {
      const dot = event.target.closest && event.target.closest("[data-tip]");
      if (dot && !(name === "click" && dot.dataset.go)) act(dot); else hush();
    });

  // --- the log -------------------------------------------------------------------
  all(".filter").forEach((field) => field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    all("tbody tr", field.parentElement).forEach((row) => {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }));

  // --- 3-D -----------------------------------------------------------------------
  const WIDTH = 26, DEPTH = 7.5, MOST = 5000;
  function repeated(model) {
    const n = model.symbols.length, [a, , c] = model.cell;
    const span = Math.hypot(...a), deep = Math.hypot(...c);
    let nx = Math.max(1, Math.ceil(WIDTH / span)), nz = Math.max(1, Math.ceil(DEPTH / deep));
    while (n * nx * nz > MOST && nx * nz > 1) { if (nx >= nz) nx -= 1; else nz -= 1; }
    const atoms = [];
    for (let i = 0; i < nx; i++) for (let k = 0; k < nz; k++) for (let m = 0; m < n; m++) {
      const at = [0, 1, 2].map((j) => model.xyz[3 * m + j] + i * a[j] + k * c[j]);
      atoms.push({ source: m, at });
    }
    return atoms;
  }
  function mixed(from, to, share) {
    const part = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
    const parts = [0, 1, 2].map((k) => Math.round(part(from, k) + share * (part(to, k) - part(from, k))));
    return "#" + parts.map((v) => v.toString(16).padStart(2, "0")).join("");
  }
  function painter(model, kind) {
    if (kind === "grain") return (m) => (model.grain[m] === 1 ? "#0072b2" : "#e69f00");
    if (kind !== "excess") return (m) => model.colours[model.symbols[m]];
    const known = model.excess.filter((v) => v !== null).map(Math.abs).sort((p, q) => p - q);
    const most = Math.max(known[Math.floor(0.98 * known.length)] || 0, 0.05);
    return (m) => {
      const v = model.excess[m];
      if (v === null) return "#bbbbbb";
      return mixed("#eeeeee", v < 0 ? "#0b4f8a" : "#b6410a", Math.min(1, Math.abs(v) / most));
    };
  }
  function show(stage) {
    const model = models[stage.dataset.model];
    if (!model || stage.dataset.done) return;
    stage.dataset.done = "yes";
    let viewer;
    try {
      viewer = $3Dmol.createViewer(stage.querySelector(".viewer"),
        { backgroundColor: "white", orthographic: true, antialias: true });
      if (!viewer) return;
    } catch (error) {
      return; // no WebGL: the drawing stays
    }
    const atoms = repeated(model);
    const text = [atoms.length, ""].concat(
      atoms.map((a) => [model.symbols[a.source], ...a.at.map((v) => v.toFixed(3))].join(" ")));
    const shown = viewer.addModel(text.join("\n"), "xyz");
    // So many neighbours are no bonds: spheres alone show a metal better.
    const bonds = shown.selectedAtoms({}).map((a) => a.bonds.length).sort((p, q) => p - q);
    const metallic = bonds[Math.floor(0.7 * bonds.length)] > 6;
    const middle = { predicate: (a) => Math.abs(a.y - model.height) < 10 };
    const paint = (kind) => {
      const colour = painter(model, kind);
      const colorfunc = (a) => colour(atoms[a.index].source);
      shown.setStyle({}, metallic ? { sphere: { scale: 0.55, colorfunc } }
        : { sphere: { scale: 0.27, colorfunc }, stick: { radius: 0.11, colorfunc } });
      viewer.render();
    };
    paint("element");
    viewer.zoomTo(middle);
    viewer.zoom(1.1);
    const home = viewer.getView();
    viewer.render();
    stage.classList.add("on");
    stage.addEventListener("click", () => stage.classList.add("live"));
    stage.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") stage.classList.remove("live");
    });
    document.addEventListener("pointerdown", (event) => {
      if (!stage.contains(event.target)) stage.classList.remove("live");
    });
    const box = stage.parentElement;
    box.querySelector(".paint").addEventListener("change", (event) => paint(event.target.value));
    all("[data-view]", box).forEach((button) => button.addEventListener("click", () => {
      viewer.setView(home);
      if (button.dataset.view === "side") viewer.rotate(-90, "y");
      if (button.dataset.view === "plane") viewer.rotate(90, "x");
      viewer.render();
    }));
    addEventListener("resize", () => { viewer.resize(); });
  }
  const watcher = typeof IntersectionObserver === "function" && typeof $3Dmol !== "undefined"
    ? new IntersectionObserver((entries) => {
        for (const entry of entries) if (entry.isIntersecting) show(entry.target);
      }, { rootMargin: "200px" })
    : null;
  const first = document.querySelector(".structure");
  if (first) choose((document.querySelector("table.choice tr.leader") || { dataset: { go: first.id } }).dataset.go, false, false);
})();
