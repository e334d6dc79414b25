import assert from "node:assert/strict";
import { test } from "node:test";

import { NO_PROMPT, withPoint } from "../../samjax/web/page/core/prompts.js";
import { accepted, discarded, EMPTY_SESSION, fromJson, isBlank, keyOf, toJson, withChoice, withoutObject, withPrompt } from "../../samjax/notebook/static/session.js";

const clicked = withPrompt(EMPTY_SESSION, (prompt) => withPoint(prompt, [3, 4], 1));
const boxed = withPrompt(accepted(withChoice(clicked, 2), 2), () => ({ ...NO_PROMPT, box: [1, 2, 3, 4] }));

test("a session survives the way to Python and back", () => {
  for (const session of [EMPTY_SESSION, clicked, boxed]) {
    assert.deepEqual(fromJson(JSON.parse(JSON.stringify(toJson(session)))), session);
  }
  assert.deepEqual(toJson(boxed), {
    objects: [{ points: [[3, 4]], labels: [1], box: null, choice: 2 }],
    current: { points: [], labels: [], box: [1, 2, 3, 4], choice: null },
  });
});

test("accepting keeps the shown mask and begins the next object", () => {
  const session = accepted(clicked, 1);
  assert.deepEqual(session.objects, [{ prompt: clicked.current.prompt, choice: 1 }]);
  assert.ok(isBlank(session) && !isBlank(clicked));
  assert.deepEqual(withoutObject(session, 0), EMPTY_SESSION);
  assert.deepEqual(discarded(boxed), { ...boxed, current: EMPTY_SESSION.current });
});

test("a key is of the prompt, whatever mask is chosen, and a new point forgets the choice", () => {
  assert.equal(keyOf(withChoice(clicked, 2).current), keyOf(clicked.current));
  assert.notEqual(keyOf(boxed.current), keyOf(clicked.current));
  assert.equal(withPrompt(withChoice(clicked, 2), (prompt) => withPoint(prompt, [1, 1], 0)).current.choice, null);
});
