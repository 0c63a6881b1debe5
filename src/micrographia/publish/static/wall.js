"use strict";

const wall = document.querySelector(".wall");
const order = [...wall.children];
const tiles = order.filter((each) => each.classList.contains("tile"));
const numbers = JSON.parse(document.getElementById("numbers").textContent);
const sort = document.getElementById("sort");
const turn = document.getElementById("turn");
const size = document.getElementById("size");
const branches = [...document.querySelectorAll(".branches [data-branch]")];
let branch = null;

const short = (value) => (value === 0 ? "0" : Number(value.toPrecision(3)).toString()).replace("-", "−");

function arrange() {
  const values = numbers[sort.value];
  const reverse = turn.getAttribute("aria-pressed") === "true";
  let shown = order;
  if (values) {
    const of = (tile) => values[tile.dataset.unit] ?? -Infinity;
    shown = [...tiles].sort((a, b) => of(b) - of(a));
    if (reverse) shown.reverse();
  } else if (reverse) {
    shown = [...tiles].reverse();
  }
  if (branch !== null) shown = shown.filter((each) => each.dataset.branch === branch);
  wall.replaceChildren(...shown);
  for (const tile of tiles) {
    const value = values?.[tile.dataset.unit];
    tile.lastElementChild.dataset.value = value === undefined ? "" : short(value);
  }
  for (const each of branches) each.toggleAttribute("aria-current", each.dataset.branch === branch);
}

sort.addEventListener("change", arrange);
turn.addEventListener("click", () => {
  turn.setAttribute("aria-pressed", String(turn.getAttribute("aria-pressed") !== "true"));
  arrange();
});
size.addEventListener("input", () => wall.style.setProperty("--tile", `${size.value}px`));
for (const each of branches) {
  each.addEventListener("click", (event) => {
    event.preventDefault();
    branch = branch === each.dataset.branch ? null : each.dataset.branch;
    arrange();
  });
}
document.querySelector(".sorting").hidden = false;

// Arrows move through the wall from the tile that has the focus
wall.addEventListener("keydown", (event) => {
  const now = event.target.closest(".tile");
  if (!now || !event.key.startsWith("Arrow")) return;
  const shown = [...wall.querySelectorAll(".tile")];
  const at = shown.indexOf(now);
  const middle = (each) => each.offsetLeft + each.offsetWidth / 2;
  const row = (step) => {
    const others = (step > 0 ? shown.slice(at) : shown.slice(0, at).reverse()).filter((each) => each.offsetTop !== now.offsetTop);
    const next = others.filter((each) => each.offsetTop === others[0].offsetTop);
    return next.sort((a, b) => Math.abs(middle(a) - middle(now)) - Math.abs(middle(b) - middle(now)))[0];
  };
  const step = { ArrowLeft: () => shown[at - 1], ArrowRight: () => shown[at + 1], ArrowUp: () => row(-1), ArrowDown: () => row(1) };
  event.preventDefault();
  step[event.key]?.()?.focus();
});
