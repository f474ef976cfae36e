#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { benchCommand } from './bench.js'
import { reportUsageErrors } from './command.js'
import { encodeCommand } from './encode.js'
import { exportCommand } from './export.js'
import { inspectCommand } from './inspect.js'
import { selectCommand } from './select.js'

const { version, description } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string; description: string }

const program = new Command('skrr')
  .description(description)
  .version(version)
  .showHelpAfterError('(--help shows the options)')
  .addCommand(encodeCommand())
  .addCommand(selectCommand())
  .addCommand(inspectCommand())
  .addCommand(exportCommand())
  .addCommand(benchCommand())

reportUsageErrors(program)
await program.parseAsync()
