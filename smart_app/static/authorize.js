// Sends the sign-in form on by itself; without scripts its button does the same.
"use strict";

document.getElementById("authorize").submit();
