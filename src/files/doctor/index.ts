/**
 * What is wrong with the way certificates are mounted.
 *
 *   examineMounts ── gathers (tree, mounts, limits) ──▶ facts ── judges ──▶ findings
 *
 * Gathering touches nothing on a file system that does not answer; judging is pure.
 */
export { type ExamineOptions, examineMounts } from './examine.ts';
