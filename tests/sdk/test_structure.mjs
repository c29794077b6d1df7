// Structured output through the helpers of JavaScript: openai's zod helper, the Vercel AI SDK's generateObject and tool loop.
import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamObject, tool } from 'ai';
import { z } from 'zod';

const root = new URL('../..', import.meta.url).pathname;
const home = mkdtempSync(join(tmpdir(), 'sluice-test-'));
const server = spawn(process.env.SLUICE_BINARY || join(root, 'build/release/sluice'), ['serve', '--listen', '127.0.0.1:0'],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: home, XDG_STATE_HOME: home } });
process.on('exit', () => server.kill());
const url = await new Promise((found) => {
  server.stderr.on('data', (d) => { const m = /listening on (\S+)/.exec(d); if (m) found(m[1]); });
});
const client = new OpenAI({ baseURL: url + '/v1', apiKey: 'none', maxRetries: 0 });
const provider = createOpenAICompatible({ name: 'sluice', baseURL: url + '/v1', supportsStructuredOutputs: true });
const model = provider('demo');
const messages = [{ role: 'user', content: 'Ann is 7 and likes red.' }];
const Person = z.object({
  name: z.string().max(16),
  age: z.number().int().min(0).max(150),
  likes: z.array(z.enum(['red', 'blue'])).max(2),
  pet: z.object({ legs: z.number().int().min(0).max(8) }).nullable(),
});
const Move = z.object({ x: z.number().int().min(-9).max(9), to: z.enum(['left', 'right']) });

const tests = {
  async 'openai with zod'() {
    const r = await client.chat.completions.parse({ model: 'demo', messages, max_tokens: 300, response_format: zodResponseFormat(Person, 'person') });
    Person.parse(r.choices[0].message.parsed);
  },
  async 'openai with zod tools'() {
    const r = await client.chat.completions.parse({ model: 'demo', messages, max_tokens: 300, tool_choice: 'required', parallel_tool_calls: false,
      tools: [zodFunction({ name: 'move', parameters: Move })] });
    Move.parse(r.choices[0].message.tool_calls[0].function.parsed_arguments);
  },
  async 'generateObject'() {
    const { object } = await generateObject({ model, schema: Person, prompt: 'Who is Ann?', maxOutputTokens: 300, maxRetries: 0 });
    Person.parse(object);
  },
  async 'streamObject'() {
    const { object, partialObjectStream } = streamObject({ model, schema: Person, prompt: 'Who is Ann?', maxOutputTokens: 300, maxRetries: 0 });
    let parts = 0;
    for await (const part of partialObjectStream) parts += part !== undefined;
    Person.parse(await object);
    assert.ok(parts > 0);
  },
  async 'a tool loop'() {
    const seen = [];
    const result = await generateText({
      model, prompt: 'Move Ann.', maxOutputTokens: 300, maxRetries: 0, stopWhen: stepCountIs(2),
      tools: { move: tool({ description: 'Moves.', inputSchema: Move, execute: async (args) => { seen.push(Move.parse(args)); return 'moved'; } }) },
      toolChoice: 'required',
    });
    assert.ok(seen.length >= 1);
    assert.ok(result.steps.length >= 1);
  },
};

let passed = 0, failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    passed++;
  } catch (e) {
    failed++;
    console.log('FAIL ' + name + '\n' + e.stack);
  }
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
