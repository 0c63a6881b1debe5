// The student's words: kept while writing, and saved as a copy of this very page.
(() => {
  const boxes = [...document.querySelectorAll(".box")];
  const key = (box) => `${location.pathname} ${document.body.dataset.lab} ${box.dataset.box}`;
  let unsaved = false;
  for (const box of boxes) {
    try {
      if (!box.textContent) box.textContent = localStorage.getItem(key(box)) ?? "";
    } catch { /* No storage: the page itself keeps the words. */ }
    box.addEventListener("input", () => {
      unsaved = true;
      try { localStorage.setItem(key(box), box.textContent); } catch { /* likewise */ }
    });
  }
  document.querySelector("[data-do=save]").addEventListener("click", () => {
    const page = new Blob([`<!doctype html>\n${document.documentElement.outerHTML}\n`], { type: "text/html" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(page);
    link.download = decodeURIComponent(location.pathname.split("/").pop() || "lab.html");
    link.click();
    URL.revokeObjectURL(link.href);
    unsaved = false;
  });
  document.querySelector("[data-do=print]").addEventListener("click", () => window.print());
  document.querySelector(".theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = getComputedStyle(root).colorScheme === "dark"
      || (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = dark ? "light" : "dark";
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
})();
