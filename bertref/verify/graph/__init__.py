"""The computation as single steps: what each is made from, on which axes, and a subject's steps fed one by one."""
