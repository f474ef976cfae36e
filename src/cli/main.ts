#!/usr/bin/env node
import { Command } from 'commander'
import { benchCommand } from './bench.js'
import { reportUsageErrors } from './command.js'
import { encodeCommand } from './encode.js'
import { exportCommand } from './export.js'
import { inspectCommand } from './inspect.js'
import { description, version } from './package.js'
import { selectCommand } from './select.js'

const program = new Command('skrr')
  .description(description)
  .version(version)
  .showHelpAfterError('(--help shows the options)')
  .addCommand(encodeCommand())
  .addCommand(selectCommand())
  .addCommand(inspectCommand())
  .addCommand(exportCommand())
  .addCommand(benchCommand())
  .addHelpText(
    'after',
    `
Exit codes: 0 done, 1 an error, 128 + n ended by signal n (130 Ctrl-C, 143 SIGTERM, 129 SIGHUP; a second one ends at once).
An error is a line on stderr; with --json { error: { code, message, file?, field?, found?, expected?, hint? } } on stdout.`,
  )

reportUsageErrors(program)
process.stdout.on('error', () => (process.exitCode = 1)) // a pipe that its reader closed
process.stderr.on('error', () => undefined) // a terminal that hung up takes no messages; the exit code stands
await program.parseAsync()
