package historian

func childMain(dir string) {}
