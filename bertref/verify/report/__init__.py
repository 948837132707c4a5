"""Reports for people and machines: words, maps, JSON, a page of HTML, JUnit's XML. Nothing here prints."""
