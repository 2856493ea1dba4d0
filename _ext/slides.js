/* Starts a deck: the theme, the mathematics, then reveal.js. */

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const printing = /print-pdf|view=print/.test(location.search);
const paint = (isDark) => { root.dataset.theme = isDark && !printing ? "dark" : "light"; };
paint(dark.matches);
if (!printing) dark.addEventListener("change", () => paint(dark.matches));

/* The speaker's window has no MathJax: notes carry MathML, which browsers draw. */
function writeNotes() {
  for (const each of document.querySelectorAll(".notes .math")) {
    const [, open, formula] = each.textContent.match(/^\\([([])([^]*)\\[)\]]$/);
    each.innerHTML = MathJax.tex2mml(formula.replace(/\\tag\{.*?\}/, ""), {display: open === "["});
    each.className = "mathml";
  }
}

function start() {
  const deck = new Reveal(document.querySelector(".reveal"), {
    width: 1280, height: 720, margin: 0, maxScale: 6, center: false, display: "flex",
    hash: true, slideNumber: "c/t", transition: "none", backgroundTransition: "none",
    controlsTutorial: false, scrollActivationWidth: null, pdfMaxPagesPerSlide: 1, plugins: [RevealNotes],
  });
  deck.on("pdf-ready", () => { root.dataset.printable = ""; });
  deck.initialize();
  const key = {keyCode: 68, key: "D", description: "Light or dark"};
  deck.addKeyBinding(key, () => paint(root.dataset.theme === "light"));
  window.deck = deck;
}

if (document.querySelector(".math")) {
  window.MathJax = {
    options: {ignoreHtmlClass: "reveal|notes", processHtmlClass: "math"},
    chtml: {matchFontHeight: false},
    startup: {
      pageReady: async () => {
        writeNotes();
        await MathJax.startup.defaultPageReady();
        start();
      },
    },
  };
} else {
  start();
}
