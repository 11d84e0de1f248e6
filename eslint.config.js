/**
 * Lint rules, with the layer rule of the house:
 *
 *     ui → pipeline → core ← gpu        server and tests may know everyone
 *
 * `src/core` holds the interfaces and the pure mathematics; it knows nobody. `src/gpu` knows no dialogue, DOM or
 * Node; `src/pipeline` knows no GPUDevice, DOM or Node.
 */
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const node = { group: ['node:*'], message: 'Node belongs to server/ and tests/ only.' };
const no = (room, why) => ({ group: [`**/${room}/**`], message: why });
const layer = (files, patterns, globals = []) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: {
    'no-restricted-imports': ['error', { patterns }],
    'no-restricted-globals': ['error', ...globals],
  },
});
const domAndNode = ['window', 'document', 'process', 'Buffer', '__dirname'].map((name) => ({
  name,
  message: 'The engine and the recipe run in a page, in a worker and on Node: take it as an argument.',
}));

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'runs', '.cache', 'public', '**/*.mjs'] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  {
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: 'error',
    },
  },
  layer(
    ['src/core/**/*.ts'],
    [
      node,
      no('gpu', 'core knows nobody.'),
      no('pipeline', 'core knows nobody.'),
      no('ui', 'core knows nobody.'),
      no('server', 'core knows nobody.'),
    ],
    domAndNode,
  ),
  layer(
    ['src/gpu/**/*.ts'],
    [
      node,
      no('pipeline', 'The engine knows no dialogue: tokens in, tokens and numbers out.'),
      no('ui', 'The engine knows no screen.'),
      no('server', 'The engine runs in a page too.'),
    ],
    domAndNode,
  ),
  layer(
    ['src/pipeline/**/*.ts'],
    [
      node,
      no('gpu', 'The recipe sees the engine only through src/core/policy.ts.'),
      no('ui', 'The recipe knows no screen.'),
      no('server', 'The recipe runs in a page too.'),
    ],
    [...domAndNode, { name: 'GPUDevice', message: 'The recipe sees Policy, never a device.' }],
  ),
  layer(['src/ui/**/*.ts'], [node, no('server', 'The page talks to the server over HTTP only.')]),
);
