/* Puts the demo in the place of its picture when that is clicked; without scripts it is a link. */
for (const start of document.querySelectorAll(".demo-start")) {
  start.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const frame = document.createElement("iframe");
    frame.src = start.href;
    frame.title = "Demo of samjax";
    frame.allow = "cross-origin-isolated; clipboard-write";
    start.replaceWith(frame);
    frame.focus();
  });
}
