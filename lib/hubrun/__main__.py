from hubrun.cli import main

main()
