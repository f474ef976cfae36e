import tseslint from 'typescript-eslint'

export default tseslint.config(
  { ignores: ['dist', 'build', 'prebuilds', 'coverage', 'node_modules', 'demo-model'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // numbers belong in messages; everything else in a template is still checked
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // index access is guarded by noUncheckedIndexedAccess; `!` marks a bound the lines above prove
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
)
