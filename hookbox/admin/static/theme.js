// Light or dark, as chosen; run before the page is drawn, so that it does not flash. A classic script on purpose.
'use strict';

(function () {
  let chosen = null;
  try {
    chosen = localStorage.getItem('hookbox.theme');
  } catch {
    // a browser that keeps nothing
  }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
