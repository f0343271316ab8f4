// What the theme leaves open; it adds tables' frames and copy buttons after the page has loaded.

// A table that is wider than the page is scrolled by keyboard too.
function letKeysScroll(frame) {
  frame.tabIndex = 0;
}

// The copy button takes what was typed: no prompt, and nothing that a command printed.
function copyCommands(button) {
  button.dataset.looked = "";
  const code = document.querySelector(button.dataset.clipboardTarget)?.cloneNode(true);
  const lines = code?.textContent.split("\n") ?? [];
  if (lines[0]?.startsWith(">>> ")) {
    const typed = lines.filter((line) => /^(>>>|\.\.\.)( |$)/.test(line));
    button.dataset.clipboardText = typed.map((line) => line.slice(4)).join("\n");
  } else if (code?.querySelector(".gp")) {
    code.querySelectorAll(".gp, .go").forEach((shown) => shown.remove());
    button.dataset.clipboardText = code.textContent.replace(/\n{2,}/g, "\n").trim();
  }
}

new MutationObserver(() => {
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach(letKeysScroll);
  document.querySelectorAll("[data-clipboard-target]:not([data-looked])").forEach(copyCommands);
}).observe(document.documentElement, { childList: true, subtree: true });
