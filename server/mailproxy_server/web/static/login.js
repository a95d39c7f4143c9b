// Says that the token was wrong, after the server sent us back here.
document.getElementById("wrong").hidden = location.search !== "?wrong";
