"use strict";

// Light or dark
document.querySelector(".theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // No storage: the choice holds for this page.
  }
});

// Search: an address (mixed3b:379), a layer, a part of its name, or a number within this page's layer
const box = document.getElementById("address");
const answer = document.getElementById("answer");
const here = document.body.dataset.here.split(":")[0];
document.getElementById("layers").append(
  ...NETWORK.map(([name]) => Object.assign(document.createElement("option"), { value: name })),
);

function find(text) {
  const [, wanted, number] = /^(.*?)(?:[:\s]+(\d+))?$/.exec(text.trim());
  if (/^\d+$/.test(wanted) && number === undefined && here) return find(`${here}:${wanted}`);
  const exact = NETWORK.filter(([name]) => name === wanted);
  const near = NETWORK.filter(([name]) => name.toLowerCase().includes(wanted.toLowerCase()));
  const layers = exact.length ? exact : near;
  if (layers.length !== 1) {
    const names = (layers.length ? layers : NETWORK).map(([name]) => name);
    const some = names.slice(0, 5).join(", ") + (names.length > 5 ? ", …" : "");
    return { error: layers.length ? `Which one: ${some}?` : `No layer “${wanted}” here. There are ${some}` };
  }
  const [name, channels, spans] = layers[0];
  const folder = document.body.dataset.home.replace("index.html", "") + encodeURIComponent(name);
  if (number === undefined) return { href: `${folder}/index.html` };
  const unit = Number(number);
  if (unit >= channels) return { error: `${name} has the units 0 to ${channels - 1}.` };
  if (!spans.some(([first, last]) => first <= unit && unit <= last)) return { error: `${name}:${unit} is not observed yet.` };
  return { href: `${folder}/${unit}/index.html` };
}

box.form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!box.value.trim()) return;
  const { href, error } = find(box.value);
  answer.textContent = error ?? "";
  if (href) location.href = href;
});
box.addEventListener("input", () => (answer.textContent = ""));
box.addEventListener("blur", () => (answer.textContent = ""));

// Keys: left and right to the neighbours, u up, / to the search
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next", u: "up" }[event.key];
  const link = rel && document.querySelector(`link[rel=${rel}]`);
  if (link) location.href = link.href;
  if (event.key === "/") {
    event.preventDefault();
    box.focus();
  }
});

// Examples: a click shows a crop larger; left and right go through them
const crops = [...document.querySelectorAll(".crops button")];
if (crops.length) {
  const dialog = document.createElement("dialog");
  dialog.className = "loupe";
  dialog.ariaLabel = "Example, enlarged";
  dialog.innerHTML = '<form method="dialog"><button aria-label="Close">×</button></form><img class="cut"><h3></h3><p></p>';
  document.body.append(dialog);
  let at = 0;
  const show = (index) => {
    at = (index + crops.length) % crops.length;
    const small = crops[at].querySelector("img");
    const large = dialog.querySelector("img");
    large.src = small.src;
    large.alt = small.alt;
    large.style.objectPosition = small.style.objectPosition;
    dialog.querySelector("h3").textContent = crops[at].dataset.title;
    dialog.querySelector("p").textContent = crops[at].dataset.facts;
  };
  crops.forEach((crop, index) =>
    crop.addEventListener("click", () => {
      show(index);
      dialog.showModal();
    }),
  );
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) show(at + step);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => crops[at].focus());
}
