// Plots the last hour: it asks once for all of it, and every five seconds for what is new.
"use strict";
(() => {
  const section = document.getElementById("plots"), note = document.getElementById("plots-note");
  const hues = ["#3b82f6", "#f59e0b", "#10b981", "#ec4899", "#8b5cf6", "#14b8a6", "#ef4444", "#84cc16", "#06b6d4", "#f97316", "#a855f7", "#64748b"];
  const hue = (i) => hues[i % hues.length];
  const words = { L: "leader", F: "follower", R: "replica", U: "unknown", D: "down", M: "maint" };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const roleColour = { L: "--lead", F: "--follow", R: "--replica", U: "--line", D: "--bad", M: "--warn" };
  let data = null, plots = [], narrow = null;

  const known = (values) => values.map((v) => v < 0 ? null : v);
  const dbName = (name) => name === "" ? "all databases" : name;

  // mergeInto appends what came later, and drops what is older than an hour.
  function merge(more) {
    if (!data) { data = more; return; }
    const before = data.times.length, drop = Math.max(0, before + more.times.length - 720);
    const join = (old, add) => (old ?? Array(before).fill(-1)).concat(add ?? Array(more.times.length).fill(-1)).slice(drop);
    const names = [...new Set([...data.members, ...more.members].map((m) => m.name))];
    const of = (list, name) => list.find((m) => m.name === name);
    data.members = names.map((name) => ({ name, rate: join(of(data.members, name)?.rate, of(more.members, name)?.rate),
      in_flight: join(of(data.members, name)?.in_flight, of(more.members, name)?.in_flight) }));
    for (const key of ["times", "p50_ms", "p95_ms", "p99_ms", "held"]) data[key] = data[key].concat(more[key]).slice(drop);
    const dbs = [...new Set([...data.databases, ...more.databases].map((d) => d.name))];
    data.databases = dbs.map((name) => {
      const a = of(data.databases, name)?.roles ?? {}, b = of(more.databases, name)?.roles ?? {};
      const roles = {};
      for (const m of new Set([...Object.keys(a), ...Object.keys(b)]))
        roles[m] = ((a[m] ?? "-".repeat(before)) + (b[m] ?? "-".repeat(more.times.length))).slice(drop);
      return { name, roles };
    });
    data.elections = data.elections.concat(more.elections).filter((e) => Date.parse(e.time) / 1000 >= data.times[0]);
  }

  // elections draws a line through a plot for each change of leader.
  const elections = (u) => {
    const c = u.ctx;
    c.save();
    c.strokeStyle = colour("--bad"); c.fillStyle = colour("--bad"); c.lineWidth = devicePixelRatio; c.globalAlpha = .75;
    for (const e of data.elections) {
      const x = Math.round(u.valToPos(Date.parse(e.time) / 1000, "x", true));
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
      c.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
      c.beginPath(); c.moveTo(x, u.bbox.top); c.lineTo(x, u.bbox.top + u.bbox.height); c.stroke();
      c.setLineDash([]);
      c.beginPath(); c.moveTo(x - 4 * devicePixelRatio, u.bbox.top); c.lineTo(x + 4 * devicePixelRatio, u.bbox.top); c.lineTo(x, u.bbox.top + 6 * devicePixelRatio); c.fill();
    }
    c.restore();
  };

  // bands draws a row for each member and database, in the colours of its roles.
  const bands = (rows) => (u) => {
    const c = u.ctx, high = u.bbox.height / Math.max(rows.length, 1), half = data.every_s / 2;
    c.save();
    c.beginPath(); c.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height); c.clip();
    rows.forEach((row, i) => {
      for (let from = 0; from < row.roles.length;) {
        let to = from + 1;
        while (to < row.roles.length && row.roles[to] === row.roles[from]) to++;
        const key = roleColour[row.roles[from]];
        if (key) {
          const x = u.valToPos(data.times[from] - half, "x", true), end = u.valToPos(data.times[to - 1] + half, "x", true);
          c.fillStyle = colour(key);
          c.fillRect(x, u.bbox.top + i * high + 1, Math.max(end - x, 1), Math.max(high - 2, 1));
        }
        from = to;
      }
    });
    c.restore();
  };

  const axis = (more) => ({ stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1, size: 4 }, font: "11px system-ui, sans-serif", ...more });
  const number = (v) => v == null ? "–" : v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v.toFixed(2);
  const line = (label, stroke, more) => ({ label, stroke, width: 1.5, points: { show: false }, value: (_, v) => number(v), ...more });

  function draw(id, series, values, more) {
    const at = document.getElementById(id);
    const width = at.clientWidth, x = data.times;
    const range = [Math.min(x[0], x[x.length - 1] - 300), x[x.length - 1]];
    const options = {
      width, height: 170, legend: { live: matchMedia("(hover: hover)").matches }, cursor: { y: false, sync: { key: "hour" } },
      scales: { x: { range: () => range }, y: { range: (_, lo, hi) => [0, Math.max(hi ?? 0, 1) * 1.1] } },
      axes: [axis({ space: 60, values: "{HH}:{mm}" }), axis({ size: 44, space: 28 })],
      series: [{ label: "at", value: "{HH}:{mm}:{ss}" }, ...series], hooks: { draw: [elections] }, ...more(colour),
    };
    at.replaceChildren();
    plots.push(new uPlot(options, [x, ...values], at));
  }

  function show() {
    if (!data || data.times.length < 2) return;
    section.hidden = false;
    plots.forEach((p) => p.destroy());
    plots = [];
    const n = data.elections.length;
    note.textContent = n === 0 ? "no elections" : `${n} election${n > 1 ? "s" : ""}, marked ▼`;
    const lines = (key) => data.members.map((m, i) => line(m.name, hue(i)));
    draw("plot-rate", lines(), data.members.map((m) => known(m.rate)), () => ({}));
    draw("plot-latency", [line("p50", colour("--good")), line("p95", colour("--warn")), line("p99", colour("--bad"))], ["p50_ms", "p95_ms", "p99_ms"].map((k) => known(data[k])), () => ({}));
    draw("plot-flight", [...lines(), line("held", colour("--text"), { dash: [4, 3] })], [...data.members.map((m) => known(m.in_flight)), known(data.held)], () => ({}));
    const rows = data.databases.flatMap((d) => Object.keys(d.roles).sort((a, b) => a.length - b.length || (a < b ? -1 : 1)).map((m) => ({ name: data.databases.length > 1 ? `${m} ${dbName(d.name)}` : m, roles: d.roles[m] })));
    const label = (i) => rows[rows.length - 1 - i]?.name ?? "";
    draw("plot-roles", rows.map((r) => ({ label: r.name, stroke: colour("--dim"), width: 0, points: { show: false }, value: (_, v, __, i) => words[r.roles[i]] ?? "–" })),
      rows.map((_, i) => data.times.map(() => rows.length - i - .5)), () => ({
        scales: { x: { range: () => [Math.min(data.times[0], data.times[data.times.length - 1] - 300), data.times[data.times.length - 1]] }, y: { range: () => [0, rows.length] } },
        height: Math.max(170, 40 + 16 * rows.length), legend: { show: false },
        axes: [axis({ space: 60, values: "{HH}:{mm}" }), axis({ size: Math.min(160, 14 + 7 * Math.max(0, ...rows.map((r) => r.name.length))), grid: { show: false },
          splits: () => rows.map((_, i) => i + .5), values: () => rows.map((_, i) => label(i)) })],
        hooks: { draw: [bands(rows), elections] },
      }));
    narrow = innerWidth;
  }

  async function load() {
    try {
      const after = data && data.times.length ? data.times[data.times.length - 1] : 0;
      const answer = await fetch(`/api/v1/history?after=${after}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return;
      const more = await answer.json();
      if (data && more.times.length === 0) return;
      merge(more);
      if (!section.matches(":hover")) show();
    } catch { /* the gate is away: the next round asks again */ }
  }

  load();
  setInterval(load, 5000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  addEventListener("resize", () => { if (innerWidth !== narrow) show(); });
})();
