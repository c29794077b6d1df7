// The official openai package for JavaScript against the local engine: streaming and not.
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const root = new URL('../..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'sluice-test-'));
const server = spawn(process.env.SLUICE_BINARY || join(root, 'build/release/sluice'), ['serve', '--listen', '127.0.0.1:0'],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: home, XDG_STATE_HOME: home } });
process.on('exit', () => server.kill());
const url = await new Promise((found) => {
  server.stderr.on('data', (d) => { const m = /listening on (\S+)/.exec(d); if (m) found(m[1]); });
});
const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'What is a KV cache?' }];

const tests = {
  async 'chat, streaming and not'() {
    const whole = await client.chat.completions.create({ model: 'demo', messages, temperature: 0, max_tokens: 60 });
    const stream = await client.chat.completions.create({ model: 'demo', messages, temperature: 0, max_tokens: 60, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(text.length > 10);
  },
  async 'completions'() {
    const r = await client.completions.create({ model: 'demo', prompt: 'A KV cache', max_tokens: 5, temperature: 0 });
    assert.ok(r.usage.completion_tokens <= 5);
  },
  async 'models'() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.deepEqual(ids, ['demo']);
  },
  async 'errors'() {
    await assert.rejects(client.chat.completions.create({ model: 'none', messages }), OpenAI.NotFoundError);
  },
};
let passed = 0, failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try { await test(); passed++; } catch (e) { failed++; console.log('FAIL', name, e); }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
