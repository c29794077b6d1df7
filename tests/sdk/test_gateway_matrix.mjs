// The official JavaScript SDKs of OpenAI, Anthropic and Google before every provider, behind the gateway.
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';

const root = new URL('../..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'sluice-test-'));
const providers = ['openai', 'anthropic', 'gemini'];
const faults = ['plain', 'plain--500', 'plain--cut-4'];
const ALL = 'Hello, wörld! 日本 🎉 the end.';

const mock = spawn('python3', [join(root, 'tests/system/mock_provider.py')], { stdio: ['ignore', 'pipe', 'inherit'] });
process.on('exit', () => mock.kill());
const upstream = await new Promise((found) => mock.stdout.once('data', (d) => found(String(d).trim())));
const config = ['listen: 127.0.0.1:0', 'auth: none', `state: sqlite:${home}/s.db`, 'providers:',
  ...providers.map((p) => `  - {name: ${p}, kind: ${p}, base_url: ${upstream}, api_key: k, breaker: {failures: 1000}}`), 'models:',
  ...providers.flatMap((p) => faults.map((f) => `  - {name: ${p}-${f.replace('--', '-')}, retries: 0, targets: [{provider: ${p}, model: ${f}}]}`))];
writeFileSync(join(home, 'c.yaml'), config.join('\n') + '\n');
const server = spawn(process.env.SLUICE_BINARY || join(root, 'build/release/sluice'), ['serve', '-c', join(home, 'c.yaml')],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: home, XDG_STATE_HOME: home } });
process.on('exit', () => server.kill());
const url = await new Promise((found) => {
  server.stderr.on('data', (d) => { const m = /listening on (\S+)/.exec(d); if (m) found(m[1]); });
});

const openai = new OpenAI({ baseURL: url + '/v1', apiKey: 'none' });
const anthropic = new Anthropic({ baseURL: url, apiKey: 'none' });
const google = new GoogleGenAI({ apiKey: 'none', httpOptions: { baseUrl: url } });
const messages = [{ role: 'user', content: 'Hi' }];
const schema = { type: 'object', properties: { city: { type: 'string' } } };
const want = [['get_weather', { city: 'Paris' }], ['get_time', { tz: 'CET', long: true }]];

const tests = {
  async 'openai: text and tools'() {
    const tools = want.map(([name]) => ({ type: 'function', function: { name, parameters: schema } }));
    for (const p of providers) {
      const model = p + '-plain';
      const whole = await openai.chat.completions.create({ model, messages });
      assert.equal(whole.choices[0].message.content, ALL, p);
      let text = '';
      for await (const c of await openai.chat.completions.create({ model, messages, stream: true })) text += c.choices[0]?.delta?.content ?? '';
      assert.equal(text, ALL, p);
      const final = await openai.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
      assert.deepEqual(final.choices[0].message.tool_calls.map((c) => [c.function.name, JSON.parse(c.function.arguments)]), want, p);
    }
  },
  async 'anthropic: text and tools'() {
    const tools = want.map(([name]) => ({ name, input_schema: schema }));
    for (const p of providers) {
      const model = p + '-plain';
      const whole = await anthropic.messages.create({ model, max_tokens: 100, messages });
      assert.equal(whole.content[0].text, ALL, p);
      const stream = anthropic.messages.stream({ model, max_tokens: 100, messages });
      assert.equal(await stream.finalText(), ALL, p);
      const final = await anthropic.messages.stream({ model, max_tokens: 100, messages, tools }).finalMessage();
      assert.deepEqual(final.content.filter((b) => b.type === 'tool_use').map((b) => [b.name, b.input]), want, p);
    }
  },
  async 'google: text and tools'() {
    const tools = [{ functionDeclarations: want.map(([name]) => ({ name, parametersJsonSchema: schema })) }];
    for (const p of providers) {
      const model = p + '-plain';
      const whole = await google.models.generateContent({ model, contents: 'Hi' });
      assert.equal(whole.text, ALL, p);
      let text = '';
      for await (const c of await google.models.generateContentStream({ model, contents: 'Hi' })) text += c.text ?? '';
      assert.equal(text, ALL, p);
      const calls = await google.models.generateContent({ model, contents: 'Hi', config: { tools } });
      assert.deepEqual(calls.functionCalls.map((c) => [c.name, c.args]), want, p);
    }
  },
  async 'errors and broken streams are raised'() {
    for (const p of providers) {
      await assert.rejects(openai.chat.completions.create({ model: p + '-plain-500', messages }), (e) => e.status === 502);
      await assert.rejects(anthropic.messages.create({ model: p + '-plain-500', max_tokens: 9, messages }), (e) => e.status === 502);
      await assert.rejects(google.models.generateContent({ model: p + '-plain-500', contents: 'Hi' }), (e) => e.status === 502);
      const model = p + '-plain-cut-4';
      await assert.rejects(openai.chat.completions.stream({ model, messages }).finalChatCompletion(), OpenAI.APIError);
      await assert.rejects(anthropic.messages.stream({ model, max_tokens: 9, messages }).finalMessage(), Anthropic.APIError);
      await assert.rejects(async () => { for await (const c of await google.models.generateContentStream({ model, contents: 'Hi' })) void c; });
    }
  },
};

let passed = 0, failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try { await test(); passed++; } catch (e) { failed++; console.log('FAIL', name, e); }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
