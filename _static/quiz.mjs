// A choice in a quiz is answered at once. The words are those of the fold below each
// question, which readers without scripts open instead.

function say(question, right, reason) {
  const verdict = question.querySelector(".quiz-verdict");
  verdict.innerHTML = reason.innerHTML;
  // The fold says "b) wrong." before the reason; here a sentence of its own does.
  verdict.querySelector("strong").textContent = right ? "Right." : "Not yet.";
  verdict.classList.toggle("quiz-right", right);
  question.dataset.done = right;
  count(question.form);
}

function count(form) {
  const all = [...form.querySelectorAll(".quiz-question")];
  const right = all.filter((question) => question.dataset.done === "true").length;
  form.querySelector(".quiz-count").textContent = `${right} of ${all.length} right so far.`;
}

const plain = (text) => text.trim().toLowerCase().replace(/[\s_]+/g, " ").replace(/[.]$/, "");

// A number may be typed with commas, or as so many per cent.
function isRight(typed, { answer, within }) {
  if (answer.map(plain).includes(plain(typed))) return true;
  if (within === null || typed.trim() === "") return false;
  const figures = (text) => text.trim().replace(/,(?=\d{3})/g, "");
  const [, number, percent] = figures(typed).match(/^(.*?)\s*(%?)$/);
  const meant = percent ? [Number(number), Number(number) / 100] : [Number(number)];
  return meant.some((each) => Math.abs(each - Number(figures(answer[0]))) <= within + 1e-9);
}

function typedAnswers(question, input) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Check";
  input.after(" ", button);
  const check = () => {
    const right = isRight(input.value, JSON.parse(input.dataset.typed));
    const reason = question.querySelector(`#${question.id}-why`);
    if (right) return say(question, true, reason);
    const open = document.createElement("p");
    open.innerHTML = "<strong></strong> Think again; the fold below has the answer.";
    say(question, false, open);
  };
  button.addEventListener("click", check);
  input.addEventListener("keydown", (event) => event.key === "Enter" && check());
}

for (const form of document.querySelectorAll("form.quiz")) {
  form.addEventListener("submit", (event) => event.preventDefault());
  const line = document.createElement("p");
  line.className = "quiz-count";
  line.setAttribute("role", "status");
  form.append(line);
  for (const question of form.querySelectorAll(".quiz-question")) {
    const typed = question.querySelector("[data-typed]");
    if (typed) typedAnswers(question, typed);
    for (const choice of question.querySelectorAll("[type=radio]")) {
      choice.addEventListener("change", () => {
        say(question, "right" in choice.dataset, document.getElementById(`${choice.id}-why`));
      });
    }
  }
}
