/** Types of hookbox.mjs: those of hookbox.js, and a default export. */

import { connect } from './hookbox.js';

export * from './hookbox.js';

declare const hookbox: { connect: typeof connect };
export default hookbox;
