"use strict";
// Reads values, zooms, and draws one more GPU into the charts of a page; without it everything is there to read.
(() => {
  const SVG = "http://www.w3.org/2000/svg", WIDE = 1000, CLOSEST = 20;
  const charts = [...document.querySelectorAll("figure.chart")].map(setUp).filter(Boolean);
  setUpChoice();

  function setUp(figure) {
    const plot = figure.querySelector("svg.plot"), rows = [...figure.querySelectorAll("tr[data-x]")];
    if (!plot || !rows.length) return null;
    const picture = plot.parentNode, tall = plot.viewBox.baseVal.height;
    const places = rows.map(row => Number(row.dataset.x));
    const heads = [...figure.querySelectorAll("th")].map(head => head.textContent);
    const readout = document.createElement("p");
    readout.className = "readout";
    readout.setAttribute("aria-live", "polite");
    picture.parentNode.after(readout);
    const room = picture.parentNode;
    room.tabIndex = 0;
    room.setAttribute("role", "group");
    room.setAttribute("aria-label", figure.querySelector("figcaption").textContent +
      ". Arrow keys read values, plus and minus zoom, Escape shows all.");
    const cursor = document.createElementNS(SVG, "path");
    cursor.setAttribute("class", "cursor");
    plot.append(cursor);
    const labels = [...picture.querySelectorAll("text.x, text.inside, g.number")].map(label => {
      const parts = label.tagName === "g" ? [...label.children].slice(1) : [label];
      return parts.map(part => {
        const name = part.tagName === "circle" ? "cx" : "x";
        return {part, name, place: parseFloat(part.getAttribute(name)) * WIDE / 100};
      });
    }).flat();
    let from = 0, to = WIDE, at = -1, dragged = null;

    function show(index) {
      at = Math.min(Math.max(index, 0), rows.length - 1);
      if (places[at] < from || places[at] > to) move(places[at] - (to - from) / 2, to - from);
      cursor.setAttribute("d", `M${places[at]} 0V${tall}`);
      readout.textContent = [...rows[at].cells].map((cell, i) => cell.textContent && `${heads[i]} ${cell.textContent}`)
        .filter(Boolean).join(" · ");
    }
    function move(begin, width) {
      width = Math.min(Math.max(width, CLOSEST), WIDE);
      from = Math.min(Math.max(begin, 0), WIDE - width);
      to = from + width;
      plot.setAttribute("viewBox", `${from} 0 ${width} ${tall}`);
      for (const {part, name, place} of labels) {
        part.setAttribute(name, `${(place - from) / width * 100}%`);
        part.style.visibility = place >= from - 1 && place <= to + 1 ? "" : "hidden";
      }
    }
    function zoom(factor, middle) {
      const width = Math.min(Math.max((to - from) * factor, CLOSEST), WIDE);
      move(middle - (middle - from) * width / (to - from), width);
    }
    function place(event) {
      const box = plot.getBoundingClientRect();
      return from + (event.clientX - box.left) / box.width * (to - from);
    }
    function nearest(x) {
      return places.reduce((best, each, i) => Math.abs(each - x) < Math.abs(places[best] - x) ? i : best, 0);
    }
    room.addEventListener("pointermove", event => show(nearest(place(event))));
    room.addEventListener("pointerdown", event => {
      if (event.pointerType === "mouse") dragged = place(event);
      else show(nearest(place(event)));
    });
    room.addEventListener("pointerup", event => {
      const begin = dragged, end = place(event);
      dragged = null;
      if (begin !== null && Math.abs(end - begin) > CLOSEST) move(Math.min(begin, end), Math.abs(end - begin));
    });
    room.addEventListener("dblclick", () => move(0, WIDE));
    room.addEventListener("keydown", event => {
      const middle = at < 0 ? (from + to) / 2 : places[at];
      const actions = {
        ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1), Home: () => show(0), End: () => show(rows.length - 1),
        "+": () => zoom(0.5, middle), "=": () => zoom(0.5, middle), "-": () => zoom(2, middle), Escape: () => move(0, WIDE),
      };
      if (!actions[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      actions[event.key]();
    });
    return {figure, plot, tall, key: figure.id.replace("chart-", ""), legend: figure.querySelector(".legend")};
  }

  // One byte per value: 0 is not known, 1 to 255 go from the bottom of the chart to its top.
  function setUpChoice() {
    const island = document.getElementById("gpu-lines"), tools = document.getElementById("choose-gpu");
    if (!island || !tools) return;
    const {names, places, values} = JSON.parse(island.textContent);
    const select = tools.querySelector("select");
    names.forEach((name, i) => select.append(new Option(name, i)));
    tools.hidden = false;
    const drawn = [];
    select.addEventListener("change", () => {
      drawn.splice(0).forEach(each => each.remove());
      if (select.value === "") return;
      for (const {plot, tall, key, legend} of charts) {
        if (!values[key]) continue;
        const bytes = atob(values[key]), begin = Number(select.value) * places.length;
        let path = "", joined = false;
        places.forEach((x, i) => {
          const byte = bytes.charCodeAt(begin + i);
          if (byte) path += `${joined ? "L" : "M"}${x} ${(1 - (byte - 1) / 254) * tall}`;
          joined = Boolean(byte);
        });
        const line = document.createElementNS(SVG, "path"), item = document.createElement("li");
        line.setAttribute("class", "chosen");
        line.setAttribute("d", path);
        plot.append(line);
        item.innerHTML = '<i class="key chosen"></i>';
        item.append(names[select.value]);
        legend.append(item);
        drawn.push(line, item);
      }
    });
  }
})();
